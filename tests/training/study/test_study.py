"""A small study: its runs, its tables, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.finetune.conftest import Write
from tests.training.finetune.toy_tasks import entities, moods
from training.__main__ import main
from training.errors import TrainingError
from training.study.command import conduct, sample
from training.study.grid import RESULTS_FILE, Cell, Result, Results, Study, TaskFile
from training.study.table import details, groups, summary


@pytest.fixture
def files(write: Write) -> tuple[Path, Path]:
    return write("moods.jsonl", moods(60, 1)), write("names.jsonl", entities(60, 2))


def result(rate: float, epochs: int, value: float | None, *, seed: int = 0) -> Result:
    cell = Cell("small", "moods", rate, epochs, 16 if rate else 0, seed)
    used = {"rate": rate or 1e-4, "epochs": epochs or 8, "batch_size": 16}
    return Result(cell, "accuracy", value, used, 1.5)


def test_every_run_is_done_once_and_a_study_goes_on(
    tiny: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    out = tmp_path / "study"
    words = [
        "study", out, "--checkpoint", tiny, other, "--task", f"sequence:{files[0]}",
        f"token:{files[1]}", "--rates", "1e-3", "--epochs", "1", "2", "--batch-sizes", "8",
        "--rows", "32", "--dev-rows", "20", "--device", "cpu",
    ]  # fmt: skip
    main(list(map(str, words)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:12]] == [f"{n} of 12" for n in range(1, 13)]
    table = (out / "table.md").read_text()
    assert "| tiny | moods | accuracy |" in table
    assert "| other | names | entity_f1 |" in table
    kept = (out / RESULTS_FILE).read_text().splitlines(keepends=True)
    assert all(0 <= json.loads(line)["value"] <= 1 for line in kept)
    # The two checkpoints are one: so are their results.
    values: dict[str, list[Any]] = {}
    for line in kept:
        entry = json.loads(line)
        values.setdefault(entry["cell"].pop("checkpoint"), []).append(
            (entry["cell"], entry["value"])
        )
    assert values["tiny"] == values["other"]
    # Killed in the middle of a line.
    (out / RESULTS_FILE).write_text("".join(kept[:9]) + kept[9][:20])
    main(list(map(str, words)))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["10 of 12", "11 of 12", "12 of 12"]
    again = [json.loads(line) for line in (out / RESULTS_FILE).read_text().splitlines()]
    first = [json.loads(line) for line in kept]
    for entries in (again, first):
        for entry in entries:
            entry["seconds"] = 0  # which differ
    assert again == first
    with pytest.raises(SystemExit):
        main([*map(str, words), "--rows", "30"])
    assert "holds a study with another rows (32)" in capsys.readouterr().err


def test_samples_share_no_row_and_are_the_same_for_the_same_seed(files: tuple[Path, Path]) -> None:
    task = TaskFile("sequence", files[0])
    one, same, other = (sample(task, seed, rows=32, dev_rows=20) for seed in (1, 1, 2))
    for data in (one, other):
        assert data.dev is not None
        places = [{row.place for row in part.examples} for part in (data.train, data.dev)]
        assert not places[0] & places[1]
        assert abs(len(places[0]) - 32) <= 2
        assert abs(len(places[1]) - 20) <= 2
    assert one.train.examples == same.train.examples
    assert one.train.examples != other.train.examples
    with pytest.raises(TrainingError, match=r"has 60 rows; .* it wants 75"):
        sample(task, 1, rows=60, dev_rows=20)


def test_a_run_that_is_lost_is_told_as_such(
    tiny: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    task = TaskFile("sequence", files[0])
    study = Study((tiny,), (task,), rates=(1e30,), epochs=(1,), batch_sizes=(8,), seeds=1)
    said: list[str] = []
    table = conduct(study, tmp_path / "out", 32, 20, torch.device("cpu"), said.append)
    assert "accuracy lost" in said[1]
    assert "| 1e+30, 1, 8 | -inf |" in table


def test_table_tells_how_far_the_plain_command_is_off() -> None:
    results = [
        result(0, 0, 0.80), result(0, 0, 0.82, seed=1), result(1e-4, 3, 0.75),
        result(1e-4, 3, 0.77, seed=1), result(4e-4, 3, 0.85), result(4e-4, 3, 0.81, seed=1),
    ]  # fmt: skip
    found = groups(results)
    row = summary(found).splitlines()[2]
    assert row == "| small | moods | accuracy | 0.0001, 8, 16 | 81.0 | 0.0004, 3, 16 | 83.0 | 2.0 |"
    assert details(found).splitlines()[2:] == [
        "| 0.0001, 3, 16 | 76.0 |", "| 0.0004, 3, 16 | 83.0 |",
    ]  # fmt: skip
    best = summary(groups(results[:4])).splitlines()[2]
    assert best.endswith("| 0.0001, 8, 16 | 81.0 | 0.0001, 8, 16 | 81.0 | 0.0 |")


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = Results(tmp_path / "out", {"rows": 1})
    wanted = [result(1e-4, 3, 0.5), result(1e-3, 3, None)]
    for entry in wanted:
        results.add(entry)
    assert Results(tmp_path / "out", {"rows": 1}).read() == wanted


@pytest.mark.parametrize("text", ["moods.csv", "words:moods.csv", "sequence:"])
def test_a_task_without_kind_or_file_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="--task takes KIND:FILE"):
        TaskFile.of(text)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    task = TaskFile("sequence", tmp_path / "a.csv")
    folders = (tmp_path / "x" / "tiny", tmp_path / "y" / "tiny")
    with pytest.raises(TrainingError, match="called tiny"):
        Study(folders, (task,), (1e-4,), (1,), (8,), 1)
    with pytest.raises(TrainingError, match="--seeds"):
        Study(folders[:1], (task,), (1e-4,), (1,), (8,), 0)
