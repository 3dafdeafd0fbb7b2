"""`make bench` for a few seconds, with the real server, the bare session and the load generator."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import started
from benchmarks.subjects import Spec
from benchmarks.workloads import TASKS
from tests.running_server import REPOSITORY


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_short_run_reports_every_measure(tmp_path: Path) -> None:
    sections = "answers,throughput,alone,load,footprint"
    options = ["--quick", "--rounds", "2", "--seconds", "1", "--only", sections]
    done = bench(*options, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "cloze.json").read_text())
    found = {(f["section"], f["workload"], f["subject"], f["measure"]) for f in report["figures"]}
    for task in ("fill-mask", "embed"):
        for subject in ("cloze", "cloze, bare session"):
            assert ("throughput", f"short {task}", subject, "rate") in found
            assert ("throughput", f"short {task}", subject, "CPU") in found
        assert ("throughput", f"short {task}", "cloze", "generator") in found
        for measure in ("p50", "p99"):
            assert ("alone", f"short {task}", "cloze", measure) in found
            assert ("load", f"short {task} at 80 %", "cloze", measure) in found
        assert ("answers", f"{task}, beside a long text", "cloze") in {key[:3] for key in found}
    vectors = [f for f in report["figures"] if f["measure"] == "vectors"]
    assert max(max(figure["rounds"]) for figure in vectors) < 1e-5
    assert ("footprint", "after the load", "cloze", "memory") in found
    assert all(len(figure["rounds"]) == 2 for figure in report["figures"])
    assert all(value > 0 for f in report["figures"] for value in f["rounds"] if f["unit"] == "ms")
    conditions = report["conditions"]
    assert {"processor", "cores of each subject", "versions", "model", "rounds"} <= set(conditions)
    assert (tmp_path / "cloze.md").read_text() in done.stdout


def test_unknown_section_is_named(tmp_path: Path) -> None:
    done = bench("--only", "throughputs", "--results", str(tmp_path))
    assert done.returncode != 0
    assert "throughputs" in done.stderr


def test_subject_that_does_not_start_is_left_out_with_its_reason(tmp_path: Path) -> None:
    failing = [sys.executable, "-c", "import sys; sys.exit('needs another processor')"]
    specs = [Spec("loop", failing, frozenset(TASKS))]
    with started(specs, sorted(os.sched_getaffinity(0)), tmp_path) as (subjects, missing):
        assert subjects == []
        assert "needs another processor" in missing["not measured: loop"]
