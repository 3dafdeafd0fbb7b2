"""Work in, its result out, done on a thread to which the system gives what others leave.

Bulk work keeps all cores busy for tens of milliseconds at a time. At the same priority a small
request would wait for its turn beside it at every step: the event loop, a worker, the loop again.
"""

import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_NICENESS: Final = 4  # two fifths of the others' weight, where they compete; all, where they do not


class LowPriority(Generic[T]):
    """One thread for one caller, a daemon, so that work that is stuck holds up no end."""

    def __init__(self) -> None:
        # Where cores are busy each hand-over counts: a future takes several times as long.
        self._given: SimpleQueue[Callable[[], T]] = SimpleQueue()
        self._done: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        threading.Thread(target=self._work, name="low-priority", daemon=True).start()

    def run(self, work: Callable[[], T]) -> T:
        """Do `work` there, and wait for it."""
        self._given.put(work)
        done, outcome = self._done.get()
        if not done:
            raise outcome
        result: T = outcome
        return result

    def _work(self) -> None:
        make_way()
        while True:
            try:
                self._done.put((True, self._given.get()()))
            except BaseException as error:  # noqa: BLE001 - it is raised where the work came from
                self._done.put((False, error))


def make_way() -> None:
    """Lower this thread's priority, where a thread has one of its own: on Linux."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
