"""Things with a time each in; a call for every thing that is still there when its time comes.

Most requests end long before their time, so one timer serves all of them: to start and to cancel
one for each would cost more than these few lines. Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

# Between two calls at least; with thousands of things each look at them costs a little.
_GRAIN_S: Final = 0.005


class Alarm(Generic[T]):
    """Calls `ring` for each thing that was set and not dropped by its time, or shortly after."""

    def __init__(self, ring: Callable[[T], None]) -> None:
        self._ring = ring
        self._times: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    def set(self, thing: T, at: float) -> None:
        """Expects `thing` to be dropped until `at`, in `time.monotonic()` seconds."""
        self._times[thing] = at
        if at < self._next:
            self._wake(at)

    def drop(self, thing: T) -> None:
        """Forgets `thing`, if it is still there."""
        self._times.pop(thing, None)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = at
        delay_s = max(0.0, at - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self._timer, self._next = None, math.inf
        due = [thing for thing, at in self._times.items() if at <= now]
        for thing in due:
            del self._times[thing]
        if self._times:
            self._wake(max(min(self._times.values()), now + _GRAIN_S))
        for thing in due:
            self._ring(thing)
