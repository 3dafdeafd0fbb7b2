"""A stream of requests and when they are due -> latencies: closed loops and open loops.

Runs in the load generator's process. Knows nothing of what the requests mean.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from itertools import cycle

from benchmarks.load.connection import LOST, Connection
from benchmarks.load.latencies import LatencyRecorder, Window

PATIENCE_S = 20.0  # for the answers still under way when the last request is sent


class Loop:
    """What both have: requests, over and over, the measured time, and what is recorded in it."""

    def __init__(self, requests: Sequence[bytes], window: Window) -> None:
        self._requests = cycle(requests)
        self._window = window
        self._all_answered = asyncio.Event()
        self.recorder = LatencyRecorder(window)


class ClosedLoop(Loop):
    """Keeps its connections busy: each sends its next request when the last one is answered."""

    def __init__(self, requests: Sequence[bytes], connections: int, window: Window) -> None:
        super().__init__(requests, window)
        self._connections = connections
        self._busy = 0

    async def run(self, host: str, port: int) -> None:
        """Offer load until the window ends, then wait for the answers still under way."""
        loop = asyncio.get_running_loop()
        opened = [
            (await loop.create_connection(lambda: Connection(self._next), host, port))[1]
            for _ in range(self._connections)
        ]
        self._busy = len(opened)
        for connection in opened:
            self._send(connection)
        # A server that is left with unanswered requests goes on computing them, which would be
        # counted against whatever is measured next.
        with contextlib.suppress(TimeoutError):
            limit_s = self._window.ends - time.perf_counter() + PATIENCE_S
            await asyncio.wait_for(self._all_answered.wait(), limit_s)
        for connection in opened:
            connection.close()

    def _next(self, connection: Connection, status: int) -> None:
        now = time.perf_counter()
        self.recorder.answered(connection.due, status, by=now)
        if status != LOST and now < self._window.ends:
            self._send(connection)
            return
        self._busy -= 1
        if not self._busy:
            self._all_answered.set()

    def _send(self, connection: Connection) -> None:
        connection.send(next(self._requests), time.perf_counter())


class OpenLoop(Loop):
    """Sends each request when it is due, on a connection that is free or on a new one."""

    def __init__(self, requests: Sequence[bytes], due_s: Sequence[float], window: Window) -> None:
        super().__init__(requests, window)
        self._due = [window.starts + due for due in due_s]
        self._waiting = len(self._due)
        self._free: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def run(self, host: str, port: int) -> None:
        """Send every request when it is due, then wait for the answers."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._pace, loop, host, port)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), PATIENCE_S)
        for _ in range(self._waiting):
            self.recorder.answered(-math.inf, LOST, by=self._window.begins)
        for connection in self._free:
            connection.close()

    def _pace(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """Wait on a thread: an event loop's own timers are whole milliseconds."""
        for due in self._due:
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.call_soon_threadsafe(self._arrive, due, host, port)

    def _arrive(self, due: float, host: str, port: int) -> None:
        if self._free:
            self._send(self._free.pop(), due)
        else:
            task = asyncio.create_task(self._open(due, host, port))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, due: float, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._answered), host, port
            )
        except OSError:
            self._count(due, LOST)
        else:
            self._send(connection, due)

    def _send(self, connection: Connection, due: float) -> None:
        connection.send(next(self._requests), due)

    def _answered(self, connection: Connection, status: int) -> None:
        self._count(connection.due, status)
        if status != LOST:
            self._free.append(connection)

    def _count(self, due: float, status: int) -> None:
        self.recorder.answered(due, status, by=due)
        self._waiting -= 1
        if not self._waiting:
            self._all_answered.set()
