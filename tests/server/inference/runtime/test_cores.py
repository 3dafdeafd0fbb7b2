"""How many cores: affinity and cgroup quota, whichever is smaller."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.inference.runtime import cores
from server.inference.runtime.cores import available_cores, parse_cpu_max
from tests.running_server import REPOSITORY

AFFINITY = len(os.sched_getaffinity(0))


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the machine's cgroup files."""
    monkeypatch.setattr(cores, "CGROUP_V2", tmp_path / "cpu.max")
    v1 = (tmp_path / "cpu.cfs_quota_us", tmp_path / "cpu.cfs_period_us")
    monkeypatch.setattr(cores, "CGROUP_V1", v1)
    return tmp_path


def test_without_a_cgroup_affinity_decides(cgroup: Path) -> None:
    assert available_cores() == AFFINITY


def test_without_a_limit_affinity_decides(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("max 100000\n")
    assert available_cores() == AFFINITY


@pytest.mark.parametrize(
    ("content", "expected"),
    [("100000 100000\n", 1), ("50000 100000\n", 1), ("199999 100000\n", 1)],
)
def test_a_quota_is_rounded_down_to_whole_cores_and_at_least_one(
    cgroup: Path, content: str, expected: int
) -> None:
    (cgroup / "cpu.max").write_text(content)
    assert available_cores() == expected


def test_a_quota_beyond_the_affinity_changes_nothing(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text(f"{(AFFINITY + 3) * 100000} 100000\n")
    assert available_cores() == AFFINITY


@pytest.mark.parametrize(("quota", "expected"), [("-1", AFFINITY), ("100000", 1)])
def test_the_older_cgroup_files_are_read_too(cgroup: Path, quota: str, expected: int) -> None:
    (cgroup / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (cgroup / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores() == expected


def test_a_process_bound_to_one_core_has_one() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from server.inference.runtime.cores import available_cores; print(available_cores())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert done.stdout == "1\n"


def test_where_there_is_no_affinity_the_machine_decides(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_cpu_max_is_parsed_as_cores() -> None:
    assert parse_cpu_max("250000 100000\n") == 2.5
    assert parse_cpu_max("max 100000\n") is None
