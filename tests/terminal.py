"""A command in, what it writes on a real terminal out."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.running_server import REPOSITORY

PATIENCE_S = 120


@dataclass
class Terminal:
    """A program whose standard error is a terminal, and what it has written there."""

    process: subprocess.Popen[bytes]
    screen: int
    """The descriptor that its writing is read from."""
    text: str = ""

    def read_until(self, done: Callable[[str], object]) -> str:
        """Everything up to where `done` holds, or to the end of the program."""
        deadline = time.monotonic() + PATIENCE_S
        while not done(self.text):
            assert time.monotonic() < deadline, self.text
            try:
                piece = os.read(self.screen, 4096)
            except OSError:  # nobody has the other side any more
                return self.text
            self.text += piece.decode()
        return self.text


@contextmanager
def at_a_terminal(module: str, *arguments: object) -> Iterator[Terminal]:
    """Runs `python -m MODULE` as a person does."""
    screen, theirs = pty.openpty()
    termios.tcsetwinsize(screen, (24, 100))  # one without a size shows no bar
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    try:
        yield Terminal(process, screen)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(screen)
