"""Rounds take turns, and a section that fails does not end the others."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.harness import run, shown
from benchmarks.results import Sample
from benchmarks.workloads import Workloads
from tests.benchmarks.noting import EVERY_TASK, Noting


@pytest.fixture
def bench(default_model: Path) -> Bench:
    subjects = [Noting(name, EVERY_TASK, []) for name in ("A", "B")]
    return Bench(subjects, Workloads(default_model / "tokenizer.json"), 32, 1.0)


def test_who_is_first_alternates_from_round_to_round(bench: Bench, tmp_path: Path) -> None:
    asked: list[str] = []

    def section(bench: Bench) -> Iterator[Sample]:
        for subject in bench.subjects:
            asked.append(subject.name)
            yield Sample("work", subject.name, "rate", float(len(asked)))

    options = argparse.Namespace(rounds=3, results=tmp_path, sections={"one": section})
    run("report", bench, options, {}, ["A"])
    assert asked == ["A", "B", "B", "A", "A", "B"]
    figures = json.loads((tmp_path / "report.json").read_text())["figures"]
    assert [(one["subject"], one["rounds"]) for one in figures] == [
        ("A", [1.0, 4.0, 5.0]),
        ("B", [2.0, 3.0, 6.0]),
    ]


def test_section_that_fails_is_said_and_the_next_one_begins(bench: Bench, tmp_path: Path) -> None:
    def failing(_: Bench) -> Iterator[Sample]:
        yield Sample("work", "A", "rate", 1.0)
        raise RuntimeError("no answer in 60 s")

    def working(_: Bench) -> Iterator[Sample]:
        yield Sample("work", "A", "rate", 2.0)

    sections = {"failing": failing, "working": working}
    options = argparse.Namespace(rounds=1, results=tmp_path, sections=sections)
    with pytest.raises(SystemExit, match="no answer in 60 s"):
        run("report", bench, options, {}, [])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["conditions"]["failed: failing"] == "no answer in 60 s"
    assert [figure["section"] for figure in report["figures"]] == ["working"]


def test_a_terminal_shows_what_is_measured_and_a_file_does_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [Sample("work", name, "rate", 1.0) for name in ("A", "B")]
    assert list(shown(measured)) == measured
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(shown(measured)) == measured
    lines = capsys.readouterr().err.split("\r\x1b[K")
    assert lines == ["", "  1 figures, now work of A", "  2 figures, now work of B", ""]
