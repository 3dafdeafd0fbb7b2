"""A stream of requests and when they are due -> latencies: closed loops and open loops.

Runs in the load generator's process. Knows nothing of what the requests mean.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Protocol

from benchmarks.connection import LOST, Connection
from benchmarks.latencies import Seen, percentile

OK, TOO_MANY_REQUESTS, UNAVAILABLE = 200, 429, 503
PATIENCE_S = 20.0  # for the answers still under way when the last request is sent


class Clock(Protocol):
    """When the measured time begins and ends, in `time.perf_counter()` seconds."""

    begins: float
    ends: float


class Window:
    """A warm-up, then the measured time, counted from now."""

    def __init__(self, warm_s: float, seconds: float) -> None:
        self.starts = time.perf_counter()
        self.begins = self.starts + warm_s
        self.ends = self.begins + seconds


class Tally:
    """Counts answers, and the latencies of those in the measured time."""

    def __init__(self, window: Clock) -> None:
        self._window = window
        self._latencies_s: list[float] = []
        self._refused = self._failed = self._served = 0
        self._late_s = 0.0

    def sent(self, due: float) -> None:
        """Note how late a request went out."""
        self._late_s = max(self._late_s, time.perf_counter() - due)

    def answered(self, due: float, status: int, *, by: float) -> None:
        """Note an answer; `by` is the moment that decides whether it is in the measured time."""
        self._served += status == OK
        if not self._window.begins <= by < self._window.ends:
            return
        if status == OK:
            self._latencies_s.append(time.perf_counter() - due)
        elif status in (TOO_MANY_REQUESTS, UNAVAILABLE):
            self._refused += 1
        else:
            self._failed += 1

    def seen(self) -> Seen:
        """Return what was counted."""
        ascending = sorted(self._latencies_s)
        p50, p99, worst = (percentile(ascending, share) * 1000 for share in (0.5, 0.99, 1.0))
        return Seen(
            answers=len(ascending),
            refused=self._refused,
            failed=self._failed,
            seconds=self._window.ends - self._window.begins,
            p50_ms=p50,
            p99_ms=p99,
            worst_ms=worst,
            served=self._served,
            late_ms=self._late_s * 1000,
        )


class ClosedLoop:
    """Keeps its connections busy: each sends its next request when the last one is answered."""

    def __init__(self, requests: Sequence[bytes], connections: int, window: Window) -> None:
        self._requests = cycle(requests)
        self._connections = connections
        self._window = window
        self._busy = 0
        self._all_answered = asyncio.Event()
        self.tally = Tally(window)

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
        self.tally.answered(connection.due, status, by=now)
        if status != LOST and now < self._window.ends:
            self._send(connection)
            return
        self._busy -= 1
        if not self._busy:
            self._all_answered.set()

    def _send(self, connection: Connection) -> None:
        connection.send(next(self._requests), time.perf_counter())


class OpenLoop:
    """Sends each request when it is due, on a connection that is free or on a new one."""

    def __init__(self, requests: Sequence[bytes], due_s: Sequence[float], window: Window) -> None:
        self._requests = cycle(requests)
        self._due = [window.starts + due for due in due_s]
        self._window = window
        self._waiting = len(self._due)
        self._free: list[Connection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._all_answered = asyncio.Event()
        self.tally = Tally(window)

    async def run(self, host: str, port: int) -> None:
        """Send every request when it is due, then wait for the answers."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._pace, loop, host, port)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), PATIENCE_S)
        for _ in range(self._waiting):
            self.tally.answered(-math.inf, LOST, by=self._window.begins)
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
        self.tally.sent(due)
        connection.send(next(self._requests), due)

    def _answered(self, connection: Connection, status: int) -> None:
        self._count(connection.due, status)
        if status != LOST:
            self._free.append(connection)

    def _count(self, due: float, status: int) -> None:
        self.tally.answered(due, status, by=due)
        self._waiting -= 1
        if not self._waiting:
            self._all_answered.set()
