"""Costs of a request on two cores -> rates on more: the formula, and what goes into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.bare import BareSession
from benchmarks.programs import Program
from benchmarks.scaling import (
    Costs,
    Setup,
    calculated_row,
    expected,
    measured_row,
    middle,
)

COSTS = Costs(rate=700, cpu_s=0.002, loop_s=0.0003, busy=0.9, memory_mb=250)


def test_few_cores_are_the_limit_and_then_the_lock_is() -> None:
    assert expected(COSTS, 0.0004, cores=2, processes=1) == pytest.approx(900)
    assert expected(COSTS, 0.0004, cores=16, processes=1) == pytest.approx(2250)
    assert expected(COSTS, 0.0004, cores=16, processes=3) == pytest.approx(6750)


def test_a_row_says_what_limits_the_processes_that_are_started() -> None:
    assert calculated_row(COSTS, 0.0004, 16) == ["16", "2,250", "6,750", "3", "lock"]
    assert calculated_row(COSTS, 0.0002, 16) == ["16", "4,500", "7,200", "3", "cores"]


def test_a_setup_is_shown_by_its_middle_round() -> None:
    rounds = [Costs(rate, 0.002, 0.0003, 0.9, 250) for rate in (100.0, 300.0, 200.0)]
    assert middle(rounds).rate == 200
    row = measured_row(Setup((0, 1), 2), "short embed", rounds)
    assert row == ["short embed", "2", "2", "200 (100 to 300)", "2.00", "0.30", "90%", "250"]


def test_python_beside_the_session_is_a_small_part_of_a_text(default_model: Path) -> None:
    bare = BareSession(default_model)
    assert 0 < bare.python_s("embed", [["Rain fell on the hills."]] * 20, 200) < 0.001


def test_main_threads_are_told_apart(tmp_path: Path) -> None:
    busy = "import threading, time\nwhile time.process_time() < 0.5: pass\n"
    beside = f"import threading\nt = threading.Thread(target=exec, args=({busy!r},))\nt.start()\n"
    cores = sorted(os.sched_getaffinity(0))
    program = Program(["python3", "-c", f"{beside}t.join()\nprint('done', flush=True)\ninput()"],
                      cores, tmp_path / "log")  # fmt: skip
    try:
        assert program.stdout.readline() == b"done\n"
        assert program.cpu_s() >= 0.45
        assert program.main_threads_s() < 0.2
    finally:
        program.stop()
