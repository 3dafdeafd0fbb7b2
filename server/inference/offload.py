"""Large work on texts and answers in, its result out, done on a thread.

What takes more than a few milliseconds must not hold up the event loop; small work is done there. A
few threads do it for all requests and models, so what is worked on at a time is bounded; what waits
for them costs nothing when its deadline passes or its client leaves.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from server.errors import ClientClosedRequest, DeadlineExceeded
from server.inference.runtime.cores import available_cores
from server.inference.tasks.task import Proceed

T = TypeVar("T")

# A worker that comes back from the session waits for the interpreter's lock at most so long; the
# default of 5 ms would leave its core idle for a good part of a batch's time.
SWITCH_S: Final = 0.0005
# And so long while work goes on here, that gives up the lock only when asked. The event loop asks
# several times for each answer: with 0.5 ms it waited 60 to 100 ms while lists were read, with this
# 15 to 40. At all times it would cost a twentieth of the rate of short texts.
_SOON_S: Final = 0.0001


class Offload:
    """The threads for what is neither waiting nor computing."""

    def __init__(self, threads: int | None = None) -> None:
        # One core is left to the event loop, which shares the interpreter's lock with them.
        self.threads = max(1, available_cores() - 1) if threads is None else threads
        self._threads = ThreadPoolExecutor(self.threads, "offload")
        self._running = 0

    async def run(self, work: Callable[[Proceed], T], deadline: float) -> T:
        """Do `work`, which calls what it is given now and then to hear whether to go on.

        Raises:
            DeadlineExceeded: `deadline`, in `time.monotonic()` seconds, passed before its end.
        """
        given_up = threading.Event()

        def proceed() -> None:
            if given_up.is_set():
                raise ClientClosedRequest("Nobody waits for the answer any more.")
            require_time(deadline)

        def begin() -> T:
            proceed()
            return work(proceed)

        self._running += 1
        sys.setswitchinterval(_SOON_S)
        try:
            loop, known = asyncio.get_running_loop(), copy_context()
            return await loop.run_in_executor(self._threads, known.run, begin)
        finally:
            given_up.set()
            self._running -= 1
            if not self._running:
                sys.setswitchinterval(SWITCH_S)

    def close(self, *, wait: bool) -> None:
        """Take no more work; with `wait`, return when what was taken on is done (blocking)."""
        self._threads.shutdown(wait=wait, cancel_futures=not wait)


def require_time(deadline: float) -> None:
    """Raise `DeadlineExceeded` once `deadline`, in `time.monotonic()` seconds, has passed."""
    if time.monotonic() > deadline:
        raise DeadlineExceeded


def never_mind() -> None:
    """Small work is not worth a look at the clock."""
