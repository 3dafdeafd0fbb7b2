"""A request's task in; it is cancelled once nobody waits for its answer any more.

That is past its deadline, or when its client has left. One timer looks for both.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.types import Receive

# Watching for a disconnect costs a task; most answers are ready before it is worth one.
PATIENCE_S: Final = 0.1


class Watch:
    """Waits for a deadline and for a disconnect beside a request's task."""

    def __init__(self, receive: Receive) -> None:
        self.received = False
        """Whether the body has been read to its end: what comes next is a disconnect."""
        self.expired = False
        self.client_left = False
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._listening: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[object], until: Callable[[], float]) -> None:
        """Cancel `task` past `until` (`time.monotonic()` seconds), or once its client has left."""
        self._look_in(min(until() - time.monotonic(), PATIENCE_S), task, until)

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()

    def _look_in(
        self, seconds: float, task: asyncio.Task[object], until: Callable[[], float]
    ) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look, task, until)

    def _look(self, task: asyncio.Task[object], until: Callable[[], float]) -> None:
        left = until() - time.monotonic()
        if left <= 0:
            self.expired = True
            self._give_up(task)
            return
        if self.received and self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(task))
        self._look_in(min(left, PATIENCE_S) if self._listening is None else left, task, until)

    async def _listen(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        self._give_up(task)

    def _give_up(self, task: asyncio.Task[object]) -> None:
        self.end()  # for one reason, once
        task.cancel()
