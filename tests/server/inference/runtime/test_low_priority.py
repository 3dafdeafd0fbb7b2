"""Work that makes way for others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from server.inference.runtime.low_priority import LowPriority
from tests.running_server import REPOSITORY

STUCK = """
import threading
from server.inference.runtime.low_priority import LowPriority
begun = threading.Event()
aside = LowPriority()
work = lambda: begun.set() or threading.Event().wait()
threading.Thread(target=aside.run, args=(work,), daemon=True).start()
begun.wait()
"""


def test_what_was_done_comes_back_from_the_same_thread() -> None:
    aside = LowPriority[int]()
    threads = {aside.run(threading.get_ident) for _ in range(3)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_an_error_comes_back_and_the_thread_goes_on() -> None:
    aside = LowPriority[float]()
    with pytest.raises(ZeroDivisionError):
        aside.run(lambda: 1 / 0)
    with pytest.raises(SystemExit):
        aside.run(sys.exit)
    assert aside.run(lambda: 0.5) == 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority on Linux")
def test_only_that_thread_makes_way() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    assert LowPriority[int]().run(niceness) > before
    assert niceness() == before


def test_work_that_is_stuck_holds_up_no_end() -> None:
    subprocess.run([sys.executable, "-c", STUCK], cwd=REPOSITORY, check=True, timeout=20)
