"""Work in, its result out, done on a thread to which the system gives what others leave.

Bulk work keeps all cores busy for tens of milliseconds at a time. At the same priority a small
request would wait for its turn beside it at every step: the event loop, a worker, the loop again.
"""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_NICENESS: Final = 10  # a tenth of the others' weight, where they compete; all, where they do not


class LowPriority(Generic[T]):
    """One thread, a daemon, so that work that is stuck holds up no end."""

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Callable[[], T], Future[T]]] = SimpleQueue()
        threading.Thread(target=self._work, name="low-priority", daemon=True).start()

    def run(self, work: Callable[[], T]) -> T:
        """Do `work` there, and wait for it."""
        done: Future[T] = Future()
        self._given.put((work, done))
        return done.result()

    def _work(self) -> None:
        make_way()
        while True:
            work, done = self._given.get()
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - it is raised where the work came from
                done.set_exception(error)
            del work, done  # or they were kept while it waits


def make_way() -> None:
    """Lower this thread's priority, where a thread has one of its own: on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
