"""Large work on texts and answers in, its result out, done on a thread.

What takes more than a few milliseconds must not hold up the event loop; small work is done there. A
few threads do it for all requests and models, so what is worked on at a time is bounded; what waits
for them costs nothing when its deadline passes or its client leaves.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from server.errors import ClientClosedRequest, DeadlineExceeded
from server.inference.runtime.cores import available_cores
from server.inference.tasks.task import Proceed

T = TypeVar("T")


class Offload:
    """The threads for what is neither waiting nor computing."""

    def __init__(self, threads: int | None = None) -> None:
        # One core is left to the event loop, which shares the interpreter's lock with them.
        count = max(1, available_cores() - 1) if threads is None else threads
        self._threads = ThreadPoolExecutor(count, "offload")

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

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, begin)
        finally:
            given_up.set()

    def close(self, *, wait: bool) -> None:
        """Take no more work; with `wait`, return when what was taken on is done (blocking)."""
        self._threads.shutdown(wait=wait, cancel_futures=not wait)


def require_time(deadline: float) -> None:
    """Raise `DeadlineExceeded` once `deadline`, in `time.monotonic()` seconds, has passed."""
    if time.monotonic() > deadline:
        raise DeadlineExceeded


def never_mind() -> None:
    """Small work is not worth a look at the clock."""
