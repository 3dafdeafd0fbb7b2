"""Where the event loop's time goes, seen on a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hot_path import PARTS, part_of
from tests.running_server import REPOSITORY


def test_every_part_of_the_way_exists() -> None:
    own = [path.rstrip("/") for path, _ in PARTS if path.startswith("server/")]
    assert own
    assert [path for path in own if not list(REPOSITORY.glob(f"{path}*"))] == []


def test_the_innermost_known_frame_decides() -> None:
    frames = ["run (asyncio/runners.py:118)", "f (server/http/embed.py:3)", "g (json/x.py:1)"]
    assert part_of(frames) == part_of(frames[:2])
    assert part_of(["main (x.py:1)"]) == "other"


@pytest.mark.skipif(os.geteuid() != 0, reason="py-spy looks into other processes as root only")
def test_parts_add_up_to_the_loops_time() -> None:
    tools = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hot_path", "--seconds", "2"],
        cwd=REPOSITORY,
        env=os.environ | tools,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    tables = done.stdout.split("\nshort ")[1:]
    assert len(tables) == 3
    for table in tables:
        parts = [int(number) for number in re.findall(r"\| (\d+) \|", table)]
        (together,) = re.findall(r"\*\*(\d+)\*\*", table)
        assert abs(sum(parts) - int(together)) <= len(parts)
        assert 20 < int(together) < 20_000
