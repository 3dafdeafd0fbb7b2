"""Both commands for a moment, in the shape of the default model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running_server import REPOSITORY


def report(module: str, name: str, folder: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", module, "--quick", "--rounds", "2", "--seconds", "0.01"]
    done = subprocess.run(
        [*command, "--results", folder, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / f"{name}.md").read_text() in done.stdout
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.slow
def test_peak_reports_the_share_of_each_load(tmp_path: Path) -> None:
    arguments = ("--precisions", "int8", "--workers", "1")
    found = report("benchmarks.variants.peak", "peak", tmp_path, *arguments)
    shares = {f["workload"]: f["rounds"] for f in found["figures"] if f["measure"] == "of peak"}
    assert set(shares) == {f"{n} {t}" for n in ("short", "mixed", "long") for t in TASKS}
    assert all(0 < share < 120 for rounds in shares.values() for share in rounds)


TASKS = ("fill-mask", "embed")


@pytest.mark.slow
def test_variants_are_compared_with_the_shipped_graph(tmp_path: Path) -> None:
    arguments = ("--variants", "once more,per tensor", "--precisions", "int8")
    found = report("benchmarks.variants", "variants", tmp_path, *arguments)
    subjects = {(f["section"], f["subject"]) for f in found["figures"]}
    assert ("one-worker", "as shipped, once more") in subjects
    assert ("one-worker", "one scale per tensor") in subjects
    assert ("tasks", "as shipped, once more") in subjects
    assert all(value > 0 for f in found["figures"] for value in f["rounds"])
