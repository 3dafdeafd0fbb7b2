"""docs/own-classifier.md and a CSV file in, its commands followed one by one, and their times out.

    python -m scripts.own_classifier reviews.csv

The commands are read from the page, so what is timed is what people type: in a fresh clone of this
checkout, whose environments are installed on the way.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "own-classifier.md"
CSV = "reviews.csv"  # as the page calls it
READY_S = 300  # within which a server, installed with it, must answer


@dataclass(frozen=True)
class Step:
    """A command that was followed."""

    command: str
    seconds: float
    printed: str


def commands(page: Path = PAGE) -> list[str]:
    r"""What the page has people type: lines after a `$`, and those that go on after a backslash.

    >>> [command.split()[0] for command in commands()]
    ['git', 'make', 'make', 'make', 'make', 'curl']
    """
    found = re.findall(r"^\$ ((?:[^\\\n]|\\\n)+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [str(command) for command in found]


def follow(
    typed: Sequence[str], folder: Path, port: int, *, before: str = "", source: Path = REPOSITORY
) -> Iterator[Step]:
    """Type commands, one after the other; the server runs until the last of them is done.

    Args:
        typed: what is typed.
        folder: the clone; where a command is `git clone`, it makes it.
        port: that the server listens on in place of 8080.
        before: what the shell is told before each command.
        source: what is cloned.

    Raises:
        subprocess.CalledProcessError: a command failed.
        TimeoutError: the server does not answer.
    """
    environment = {**os.environ, "CLOZE_PORT": str(port)}
    with ExitStack() as server:
        for command in typed:
            line = command.replace("localhost:8080", f"127.0.0.1:{port}")
            begun = time.monotonic()
            arguments = ["bash", "-c", f"{before}\n{line}"]
            place: Path | None = folder
            if line.startswith("git clone"):
                arguments = ["git", "clone", "--quiet", str(source), str(folder)]
                place = None
            printed = ""
            if line.startswith("make serve"):
                quiet = _started(arguments, place, environment, subprocess.DEVNULL)
                _await(server.enter_context(quiet), port)
            else:
                with _started(arguments, place, environment, subprocess.PIPE) as process:
                    printed, _ = process.communicate()
                if process.returncode:
                    raise subprocess.CalledProcessError(process.returncode, command)
            yield Step(command, time.monotonic() - begun, printed)


@contextmanager
def _started(
    arguments: Sequence[str], folder: Path | None, environment: dict[str, str], output: int
) -> Iterator[subprocess.Popen[str]]:
    """A process, which is ended with all that it started, should it run still."""
    with subprocess.Popen(
        arguments, cwd=folder, env=environment, start_new_session=True, text=True,
        stdout=output, stderr=subprocess.DEVNULL if output == subprocess.DEVNULL else None,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)


def _await(process: subprocess.Popen[str], port: int) -> None:
    """Return once a server answers."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == HTTPStatus.OK:
                return
        except (HTTPException, OSError):  # it does not listen yet
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise TimeoutError(f"the server does not answer on port {port}")


def main() -> None:
    """Follow the page, and print what each command took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="a file with a column for texts and one for labels")
    parser.add_argument("--port", type=int, default=8089)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "cloze"
        total = 0.0
        for step in follow(commands(), folder, arguments.port):
            if step.command.startswith("git clone"):
                shutil.copyfile(arguments.csv, folder / CSV)
            total += step.seconds
            printed = f"{step.printed.rstrip()}\n" if step.printed.strip() else ""
            sys.stdout.write(f"{printed}{step.seconds:6.0f} s  {step.command}\n")
    rows = len(arguments.csv.read_bytes().splitlines()) - 1
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    print(f"{total:6.0f} s  in all; {rows} lines below the header; {machine}")


if __name__ == "__main__":
    main()
