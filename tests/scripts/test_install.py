"""Locks that an install takes, the build of PyTorch, and what it says where a wheel is missing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY

# Makes a virtual environment whose Python is this script, and "installs" whatever is allowed.
PYTHON = """#!/bin/sh
case "$*" in
*"-m venv"*) for venv; do :; done; mkdir -p "$venv/bin"; cp "$0" "$venv/bin/python" ;;
*"-m pip install"*)
    for lock; do :; done
    case " $LACKING " in *" $lock "*) echo "No matching distribution" >&2; exit 1 ;; esac
    case "$lock" in /dev/fd/*) cat "$lock" ;; esac
    echo "took $lock" ;;
*"-m ensurepip"* | *"-m pip uninstall"*) echo "took $*" ;;
*"import pip"*) [ "$LACKING" != pip ] ;;
esac
"""
CPU, ANY = "requirements/torch-cpu.txt", "requirements/torch.txt"
JAPANESE = "requirements/japanese.txt"


def install(
    folder: Path, system: str, lacking: str, group: str = "test"
) -> subprocess.CompletedProcess[str]:
    for name, program in (("python", PYTHON), ("uname", f"#!/bin/sh\necho {system}\n")):
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    places = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(folder / "python")}
    return subprocess.run(
        ["bash", REPOSITORY / "scripts" / "install.sh", group, folder / "venv"],
        env=os.environ | places | {"LACKING": lacking},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("system", "lacking", "taken"),
    [
        ("Linux x86_64", "", CPU),
        ("Linux x86_64", CPU, ANY),
        ("Linux aarch64", "", ANY),
        ("Darwin arm64", "", ANY),
    ],
)
def test_torch_is_the_small_build_where_there_is_one(
    tmp_path: Path, system: str, lacking: str, taken: str
) -> None:
    done = install(tmp_path, system, lacking)
    assert done.returncode == 0, done.stderr
    locks = [lock for lock in taken_of(done) if lock.startswith("requirements/")]
    assert locks == ["requirements/test.txt", taken, JAPANESE, "requirements/reviews.txt"]
    assert (tmp_path / "venv" / ".installed").exists()


@pytest.mark.parametrize("lacking", ["", "pip"])
def test_japanese_is_added_to_what_is_there(tmp_path: Path, lacking: str) -> None:
    """The server's environment has no pip of its own, and has none again afterwards."""
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").write_text(PYTHON)
    (tmp_path / "venv" / "bin" / "python").chmod(0o755)
    done = install(tmp_path, "Linux x86_64", lacking, "japanese")
    assert done.returncode == 0, done.stderr
    built_with, *locks = [took for took in taken_of(done) if not took.startswith("-m")]
    assert built_with.startswith("/dev/fd/")
    assert locks == [JAPANESE]
    (pinned,) = [line for line in done.stdout.splitlines() if "==" in line]
    assert pinned.startswith("setuptools==")
    fetched = [took for took in taken_of(done) if took.startswith("-m")]
    removed = "-m pip uninstall --quiet --yes setuptools pip"
    assert fetched == (["-m ensurepip", removed] if lacking else [])


@pytest.mark.parametrize("lacking", ["", "pip"])
def test_tracing_is_added_to_what_is_there(tmp_path: Path, lacking: str) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").write_text(PYTHON)
    (tmp_path / "venv" / "bin" / "python").chmod(0o755)
    done = install(tmp_path, "Linux x86_64", lacking, "serve-otel")
    assert done.returncode == 0, done.stderr
    taken = taken_of(done)
    assert [took for took in taken if not took.startswith("-m")] == ["requirements/serve-otel.txt"]
    assert len([took for took in taken if took.startswith("-m")]) == (2 if lacking else 0)


def taken_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    lines = done.stdout.splitlines()
    return [line.removeprefix("took ") for line in lines if line.startswith("took ")]


def test_a_platform_without_a_wheel_is_told_where_to_read_on(tmp_path: Path) -> None:
    done = install(tmp_path, "Darwin x86_64", "requirements/test.txt")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "Where a wheel is missing: README.md says under 'What it runs on' which platforms have all;"
        " this one is Darwin x86_64."
    )
    assert not (tmp_path / "venv" / ".installed").exists()


def test_torch_that_nobody_has_is_an_error(tmp_path: Path) -> None:
    done = install(tmp_path, "Linux x86_64", f"{CPU} {ANY}")
    assert done.returncode == 1
    assert not (tmp_path / "venv" / ".installed").exists()
