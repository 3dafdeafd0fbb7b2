"""Programs are paused, measured and ended with all the processes that they start."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.programs import Program

CORES = sorted(os.sched_getaffinity(0))
# A child counts too: what it computes and what it holds are the program's.
PARENT = """
import subprocess, sys
child = "data = bytes(range(256)) * 200_000; print('ready', flush=True)\\nwhile True: pass"
subprocess.run([sys.executable, "-c", child])
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    started = Program([sys.executable, "-c", PARENT], CORES[:1], tmp_path / "log")
    yield started
    started.stop()


def test_cpu_time_and_memory_are_those_of_all_its_processes(program: Program) -> None:
    assert program.stdout.readline() == b"ready\n"
    before = program.cpu_s()
    deadline = time.monotonic() + 30
    while program.cpu_s() < before + 0.2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert program.memory_mb() > 51.2  # what the child alone has written to


def test_the_peak_of_memory_is_that_since_it_was_forgotten(tmp_path: Path) -> None:
    once = "import sys; bytes(range(256)) * 200_000; print(flush=True); sys.stdin.read()"
    program = Program([sys.executable, "-c", once], CORES, tmp_path / "log")
    try:
        program.stdout.readline()
        assert program.peak_mb() > 51.2
        assert program.peak_mb(forget=True) < 51.2
    finally:
        program.stop()


def test_paused_program_takes_no_time(program: Program) -> None:
    program.stdout.readline()
    program.pause()
    time.sleep(0.05)
    before = program.cpu_s()
    time.sleep(0.3)
    assert program.cpu_s() == before
    program.resume()
    deadline = time.monotonic() + 30
    while program.cpu_s() == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_paused_program_is_ended_with_its_children(tmp_path: Path) -> None:
    program = Program([sys.executable, "-c", PARENT], CORES, tmp_path / "log")
    program.stdout.readline()
    program.pause()
    program.stop()
    deadline = time.monotonic() + 30
    while program.memory_mb() > 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_program_runs_on_its_cores_with_as_many_threads(tmp_path: Path) -> None:
    code = "import os; print(os.sched_getaffinity(0), os.environ['OMP_NUM_THREADS'])"
    program = Program([sys.executable, "-c", code], CORES[:1], tmp_path / "log")
    assert program.stdout.readline().decode().split() == [f"{{{CORES[0]}}}", "1"]
    program.stop()


def test_ended_program_gives_its_last_words(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no such model')"
    program = Program([sys.executable, "-c", code], CORES, tmp_path / "log")
    program.stdout.read()
    program.stop()
    with pytest.raises(RuntimeError, match="exit 1: no such model"):
        program.require_running()


def test_taskset_is_there() -> None:
    assert subprocess.run(["taskset", "--version"], check=False).returncode == 0
