"""Pages that are one session in a shell -> run from top to bottom: make a model, serve it, ask."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.documents import (
    SESSIONS,
    Example,
    ask,
    assert_same_but_for_rounding,
    examples,
    run_program,
)
from tests.guide_checkpoints import make_checkpoints
from tests.running_server import REPOSITORY, RunningServer

SECRET = re.compile(r"\bcloze-[\w-]{43}(?!\S)")
SHOWN = "cloze-..."  # by a page, in the secret's place


class Shell:
    """What a page's reader has: a folder, a server once it is started, a key once it is made."""

    def __init__(self, folder: Path, models: Path, serve: Serve) -> None:
        """A shell in `folder`, whose server gets the models of `models`."""
        self._folder, self._models, self._serve = folder, models, serve
        self._server: RunningServer | None = None
        self._secret = SHOWN

    def run(self, example: Example) -> None:
        """Run a command and compare what it prints with what the page says, if it says it."""
        command = example.command.replace(SHOWN, self._secret)
        if example.program:
            run_program(example, self._server)
        elif command.startswith("curl "):
            assert self._server is not None, "the page asks before it serves"
            ask(example._replace(command=command), self._server)
        elif command.startswith("make serve"):
            self._start(arguments(command))
        elif command.startswith("make export"):
            self._python(["-m export", *arguments(command)], example.printed)
        else:
            program, _, rest = command.partition(" ")
            assert program == ".venv/bin/python", f"nobody runs {command}"
            self._python([rest], example.printed)

    def _python(self, words: list[str], expected: str) -> None:
        done = subprocess.run(  # in a shell, since it may write into a file
            ["bash", "-c", " ".join([sys.executable, *words])],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if told := SECRET.search(done.stderr):
            self._secret = told[0]
        if expected:
            printed = (done.stdout or done.stderr).replace(self._secret, SHOWN)
            assert_same_but_for_rounding(printed, expected)

    def _start(self, options: list[str]) -> None:
        settings: dict[str, str] = {}
        for flag, value in zip(options[::2], options[1::2], strict=True):
            name = flag.removeprefix("--").replace("-", "_")
            here = self._folder / value
            said = str(here) if here.is_file() else value
            settings[name] = f"{settings[name]},{said}" if name in settings else said
        if self._server is not None:
            self._server.kill()
        self._server = self._serve(self._models, **settings)


def arguments(command: str) -> list[str]:
    """Return what make hands on.

    >>> arguments('make export ARGS="CHECKPOINT models/mine --sparse"')
    ['CHECKPOINT', 'models/mine', '--sparse']
    """
    _, _, *given = shlex.split(command)
    return shlex.split(given[0].removeprefix("ARGS=")) if given else []


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints that the pages name."""
    folder = tmp_path_factory.mktemp("checkpoints")
    make_checkpoints(folder)
    return folder


@pytest.fixture
def shell(
    page: str,
    request: pytest.FixtureRequest,
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Where the page's reader is."""
    monkeypatch.chdir(tmp_path)
    if not SESSIONS[page]:
        return Shell(tmp_path, REPOSITORY / "models", serve)
    checkpoints: Path = request.getfixturevalue("checkpoints")
    for made in checkpoints.iterdir():
        (tmp_path / made.name).symlink_to(made)
    return Shell(tmp_path, tmp_path / "models", serve)


@pytest.mark.parametrize("page", SESSIONS)
def test_a_session_goes_as_the_page_says(page: str, shell: Shell) -> None:
    found = list(examples(page))
    assert found
    for example in found:
        shell.run(example)
