"""A document -> its commands and programs, run, with what it says that they print.

A console block holds commands behind `$ ` and what each prints. A Python block is a program; what
it prints stands in a text block right behind it. One that begins with `# there` is for another
server, and is only shown.
"""

from __future__ import annotations

import gc
import io
import re
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any, NamedTuple

import pytest

from tests.running_server import REPOSITORY, Served

# int8 kernels differ a little between processors; of numbers beyond 1 it is a share of them.
TOLERANCE = 0.02

FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
TOKEN = re.compile(rf'{NUMBER.pattern}|"[^"]*"|\w+|\S')
ELSEWHERE = "# there\n"

# Pages that are one session in a shell, from exporting or serving to asking: tests/test_guides.py
# runs them -> whether they make models of their own; else they serve the default one.
SESSIONS = {
    "docs/export.md": True,
    "docs/keys.md": False,
    "docs/models.md": False,
    "docs/sparse.md": True,
}


class Example(NamedTuple):
    """A command or a program of a document, and what the document says that it prints."""

    command: str
    printed: str
    program: bool = False
    """Whether it is Python."""


def examples(document: str) -> Iterator[Example]:
    """Yield the commands and programs of a document in their order."""
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    program, end = None, 0
    for fence in FENCE.finditer(text):
        indent, kind, block = fence.groups()
        block = re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        if program:
            follows = kind == "text" and not text[end : fence.start()].strip()
            yield Example(program, block if follows else "", program=True)
        program = block if kind == "python" and not block.startswith(ELSEWHERE) else None
        end = fence.end()
        if kind == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                yield split(part)
    if program:
        yield Example(program, "", program=True)


def split(block: str) -> Example:
    """Split what follows a prompt: a command goes on after a backslash and within quotes."""
    lines = block.splitlines(keepends=True)
    starts = ("".join(lines[:end]) for end in range(1, len(lines)))
    complete = (start.count("'") % 2 == 0 and not start.endswith("\\\n") for start in starts)
    end = next((end for end, ends in enumerate(complete, start=1) if ends), len(lines))
    return Example("".join(lines[:end]).rstrip("\n"), "".join(lines[end:]))


def ask(call: Example, server: Served) -> None:
    """Run a call with curl, and compare the answer."""
    assert shutil.which("curl"), "the examples are run with curl"
    command = call.command.replace("localhost:8080", f"127.0.0.1:{server.port}")
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, f"{call.command}: {done.stderr}"
    assert_same_but_for_rounding(done.stdout, call.printed)


def run_program(program: Example, server: Served | None) -> None:
    """Run Python, and compare what it prints."""
    text = program.command
    if server is not None:
        text = text.replace("localhost:8080", f"127.0.0.1:{server.port}")
    names: dict[str, Any] = {}
    with redirect_stdout(io.StringIO()) as printed, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a program leaves its client open
        exec(compile(text, "<program>", "exec"), names)  # noqa: S102 - of our own pages
        names.clear()
        gc.collect()
    assert_same_but_for_rounding(printed.getvalue(), program.printed)


def assert_same_but_for_rounding(printed: str, expected: str) -> None:
    """Compare word by word; decimal numbers may differ by the tolerance, spacing is free."""
    expected, *rest = expected.partition("…")
    found, wanted = TOKEN.findall(printed), TOKEN.findall(expected)
    assert len(found) >= len(wanted) if any(rest) else len(found) == len(wanted), printed
    for one, other in zip(found, wanted, strict=False):
        if NUMBER.fullmatch(other) and NUMBER.fullmatch(one):
            allowed = TOLERANCE * max(1.0, abs(float(other)))
            assert float(one) == pytest.approx(float(other), abs=allowed), printed
        else:
            assert one == other, printed
