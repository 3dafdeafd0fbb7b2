"""A request's task and its connection in, the task cancelled once the client has left."""

import asyncio
from typing import Final

from starlette.types import Receive

# Watching costs a task; most answers are ready before it is worth one.
PATIENCE_S: Final = 0.1


class DisconnectWatch:
    """Waits for a disconnect beside a request's task, a while after its body has come."""

    def __init__(self, receive: Receive) -> None:
        self.client_left = False
        self._receive = receive
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[object]) -> None:
        """Cancel `task` if the client leaves from now on; its body must have been read to its end.

        More than once changes nothing.
        """
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(PATIENCE_S, self._watch, task)

    def end(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self, task: asyncio.Task[object]) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait(task))

    async def _wait(self, task: asyncio.Task[object]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        task.cancel()
