"""Work for a client in; its result out, or its cancellation once the client has left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from starlette.types import Receive

from server.alarm import Alarm
from server.errors import ClientLeft

T = TypeVar("T")

# Watching costs a task; most answers are ready before it is worth one.
PATIENCE_S: Final = 0.1


class Departures:
    """Cancels the work of clients that leave before it is done."""

    def __init__(self) -> None:
        self._unwatched = Alarm(_Watch.begin)

    async def while_connected(self, receive: Receive, work: Awaitable[T]) -> T:
        """Awaits `work`, and cancels it when `receive` says that the client is gone.

        The request's body must have been read to its end.

        Raises:
            ClientLeft: the client closed its connection first.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("expected to run inside a task, found none")
        watch = _Watch(receive, task)
        self._unwatched.set(watch, time.monotonic() + PATIENCE_S)
        try:
            return await work
        except asyncio.CancelledError:
            if not watch.client_left:
                raise
            task.uncancel()
            raise ClientLeft("The client left before its answer was ready.") from None
        finally:
            self._unwatched.drop(watch)
            watch.end()


class _Watch:
    """Waits for a disconnect beside a request's task."""

    def __init__(self, receive: Receive, task: asyncio.Task[object]) -> None:
        self.client_left = False
        self._receive = receive
        self._task = task
        self._waiting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._waiting = asyncio.get_running_loop().create_task(self._wait())

    def end(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True
        self._task.cancel()
