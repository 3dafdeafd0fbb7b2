"""Costs of a request on two cores -> rates on more: the formula, and what goes into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.bare import BareSession
from benchmarks.programs import Program
from benchmarks.results import Figure
from benchmarks.scaling import Costs, Setup, calculated_row, costs_of

COSTS = Costs(cpu_s=0.002, lock_s=0.0004, busy=0.9)
SETUP = Setup((0, 1), 2)


def test_few_cores_are_the_limit_and_then_the_lock_is() -> None:
    assert COSTS.expected(cores=2, processes=1) == pytest.approx(900)
    assert COSTS.expected(cores=16, processes=1) == pytest.approx(2250)
    assert COSTS.expected(cores=16, processes=3) == pytest.approx(6750)


def test_a_row_says_what_limits_the_processes_that_are_started() -> None:
    assert calculated_row(COSTS, 16) == ["16", "2,250", "6,750", "3", "lock"]
    quick = Costs(cpu_s=0.002, lock_s=0.0002, busy=0.9)
    assert calculated_row(quick, 16) == ["16", "4,500", "7,200", "3", "cores"]


def test_costs_are_those_of_the_setups_middle_round() -> None:
    figures = [
        Figure("measured", workload, SETUP.name, measure, tuple(value * n for n in (1.0, 3.0, 2.0)))
        for workload, factor in (("short embed", 1), ("mixed embed", 9))
        for measure, value in (("CPU", 1.0), ("event loop", 0.15 * factor), ("cores busy", 45.0))
    ]
    costs = costs_of(figures, SETUP, "short embed", python_s=0.0001)
    assert (costs.cpu_s, costs.busy) == (0.002, 0.9)
    assert costs.lock_s == pytest.approx(0.0004)


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
