"""Which build of PyTorch an install takes, and what it says where a wheel is missing."""

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
    echo "took $lock" ;;
esac
"""
CPU, ANY = "requirements/torch-cpu.txt", "requirements/torch.txt"


def install(folder: Path, system: str, lacking: str) -> subprocess.CompletedProcess[str]:
    for name, program in (("python", PYTHON), ("uname", f"#!/bin/sh\necho {system}\n")):
        (folder / name).write_text(program)
        (folder / name).chmod(0o755)
    places = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(folder / "python")}
    return subprocess.run(
        ["bash", REPOSITORY / "scripts" / "install.sh", "test", folder / "venv"],
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
    took = [line for line in done.stdout.splitlines() if line.startswith("took ")]
    assert took == ["took requirements/test.txt", f"took {taken}"]
    assert (tmp_path / "venv" / ".installed").exists()


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
