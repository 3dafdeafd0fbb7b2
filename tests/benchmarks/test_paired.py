"""`make bench-paired` for a second: two real servers, one of them of a temporary worktree."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.paired import OURS, THEIRS, WORKLOADS, checkout_of, git, paired, traced
from benchmarks.workloads import Workloads
from tests.benchmarks.noting import EVERY_TASK, Noting
from tests.running_server import REPOSITORY


def run_paired(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.paired", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_revision_is_measured_beside_this_checkout_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--rounds", "2", "--seconds", "0.5", "--only", "short-fill-mask,lists"]
    sides = ["--against", "HEAD", "--theirs", "CLOZE_BATCH_TOKENS=256"]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run_paired(*options, *sides, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in git("worktree", "list")
    report = json.loads((tmp_path / "paired.json").read_text())
    rates = {(f["workload"], f["subject"]): f for f in report["figures"] if f["measure"] == "rate"}
    for workload in ("short fill-mask", "list of 16"):
        for side in (OURS, THEIRS):
            assert len(rates[workload, side]["rounds"]) == 2
            assert rates[workload, side]["median"] > 0
    assert report["conditions"][THEIRS].endswith("CLOZE_BATCH_TOKENS=256")
    assert "CLOZE_BATCH_TOKENS" not in report["conditions"][OURS]
    assert "ours / this" in done.stdout


def test_what_tracing_costs_is_measured_with_a_collector_that_takes_the_spans(
    tmp_path: Path,
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="requirements/serve-otel.txt is not installed")
    options = ["--only", "short-embed", "--rounds", "1", "--seconds", "0.5", "--traced", "1"]
    done = run_paired(*options, "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    conditions = json.loads((tmp_path / "paired.json").read_text())["conditions"]
    assert conditions[OURS].endswith("CLOZE_TRACE_SHARE=1")
    assert "TRACE" not in conditions[THEIRS]


def test_tracing_of_which_no_span_comes_is_no_measurement() -> None:
    with pytest.raises(SystemExit, match="no span"), traced("0.5") as settings:
        assert dict(settings)["CLOZE_TRACE_SHARE"] == "0.5"


def test_settings_reach_their_own_side_alone(tmp_path: Path) -> None:
    options = ["--against", ".", "--only", "lists", "--rounds", "1", "--results", str(tmp_path)]
    done = run_paired(*options, "--theirs", "CLOZE_THREADS=none")
    assert done.returncode != 0
    assert "CLOZE_THREADS" in done.stderr


def test_every_workload_is_measured_on_both_in_turn(default_model: Path) -> None:
    calls: list[tuple[str, str]] = []
    subjects = [Noting(name, EVERY_TASK, calls) for name in (OURS, THEIRS)]
    bench = Bench(subjects, Workloads(default_model / "tokenizer.json"), 32, 1.0)
    rates = [sample for sample in paired(bench, tuple(WORKLOADS)) if sample.measure == "rate"]
    assert [name for name, _ in calls] == [OURS, THEIRS] * len(WORKLOADS)
    assert [sample.subject for sample in rates] == [OURS, THEIRS] * len(WORKLOADS)
    assert len({sample.workload for sample in rates}) == len(WORKLOADS)


def test_unknown_revision_is_named() -> None:
    with pytest.raises(SystemExit, match="no-such-commit"), checkout_of("no-such-commit"):
        pass


@pytest.mark.parametrize(
    ("wrong", "named"), [(("--only", "short"), "short"), (("--ours", "THREADS"), "THREADS")]
)
def test_mistake_on_the_command_line_is_named(wrong: tuple[str, str], named: str) -> None:
    done = run_paired("--against", ".", *wrong)
    assert done.returncode != 0
    assert named in done.stderr
