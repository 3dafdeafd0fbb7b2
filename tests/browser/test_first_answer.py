"""How long a newcomer waits is measured from a clone to an answer, or is told to have failed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.conftest import WANTING
from tests.running_server import REPOSITORY

first_answer = pytest.importorskip("scripts.first_answer", reason=WANTING)
pytestmark = pytest.mark.browser


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository in which nothing is, so far."""
    folder = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def commit(repository: Path, makefile: str) -> None:
    (repository / "Makefile").write_text(makefile)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["add", "Makefile"], [*who, "commit", "--quiet", "--message", "It serves."]):
        subprocess.run(["git", "-C", repository, *command], check=True)


@pytest.mark.usefixtures("browser")
def test_each_step_is_timed(repository: Path) -> None:
    commit(repository, f"serve:\n\tcd {REPOSITORY} && exec {sys.executable} -m server\n")
    told = subprocess.run(
        [sys.executable, "-m", "scripts.first_answer", repository],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.findall(r"^ +([\d.]+) s  (.*)$", told.stdout, re.MULTILINE)
    assert [step for _, step in found] == list(first_answer.STEPS)
    times = [float(seconds) for seconds, _ in found]
    assert times == sorted(times)
    assert times[-1] > times[0]


def test_a_clone_that_does_not_serve_is_told(repository: Path, tmp_path: Path) -> None:
    commit(repository, "serve:\n\texit 3\n")
    with (
        first_answer.served(repository, tmp_path, first_answer.free_port()) as process,
        pytest.raises(first_answer.NotServedError, match="ended with status 2"),
    ):
        first_answer.wait_until_ready(process, "http://127.0.0.1:9/readyz")
