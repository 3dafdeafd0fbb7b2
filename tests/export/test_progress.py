"""What a person sees who waits for an export, and a file that its output goes to does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.running_server import REPOSITORY
from tests.terminal import PATIENCE_S, at_a_terminal

BARS = ("layers:   0%", "layers of the reference:   0%", "texts:   0%")


def test_a_terminal_shows_how_far_each_step_is(bert: Path, tmp_path: Path) -> None:
    with at_a_terminal("export", bert, tmp_path / "tiny", "--precision", "int8") as terminal:
        text = terminal.read_until(lambda _told: False)
        assert terminal.process.wait(PATIENCE_S) == 0
    for bar in BARS:
        assert bar in text
    # The bars are gone at the end, and the steps stay.
    assert "building the int8 graph\r\n" in text
    assert text.endswith("writing the manifest\r\n")


def test_a_file_gets_the_steps_alone(bert: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "export", bert, tmp_path / "tiny"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "building the fp32 graph\n" in done.stderr
    assert not [bar for bar in BARS if bar.partition(":")[0] + ":" in done.stderr]
