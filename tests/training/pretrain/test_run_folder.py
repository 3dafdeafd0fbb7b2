"""What a run keeps, and what it refuses to go on with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.pretrain.recipe import Recipe
from training.pretrain.run_folder import RunFolder

RECIPE = Recipe(tokens=4096 * 100, schedule="stable", decay=0.2)


def test_metrics_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tmp_path)
    for step in (10, 20, 30):
        folder.report({"step": step})
    with folder.metrics.open("a") as file:
        file.write('{"step": 4')  # the run was killed while it wrote
    folder.forget_after(20)
    lines = folder.metrics.read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


def test_checkpoint_without_its_state_is_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, tmp_path)
    (tmp_path / "checkpoints" / "step-00000009").mkdir(parents=True)
    assert folder.latest() is None
    for step in ("step-00000007", "step-00000008"):
        (tmp_path / "checkpoints" / step).mkdir()
        (tmp_path / "checkpoints" / step / "training_state.pt").touch()
    latest = folder.latest()
    assert latest is not None
    assert latest.name == "step-00000008"


def test_what_a_kill_left_of_a_checkpoint_is_removed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for left in (".final.x1y2", "checkpoints/.step-00000009.ab", "checkpoints/step-00000008"):
        (run / left / "checkpoint").mkdir(parents=True)
    RunFolder(run, tmp_path).claim(RECIPE, "abc", 8)
    assert {path.name for path in run.iterdir()} == {"checkpoints", "run.json"}
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000008"]


def test_run_is_lengthened_before_its_rate_falls(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(RECIPE, "abc", 0)
    longer = Recipe(tokens=4096 * 300, schedule="stable", decay=0.2)
    folder.claim(longer, "abc", 80)
    again = Recipe(tokens=4096 * 400, schedule="stable", decay=0.2)
    with pytest.raises(TrainingError, match=r"`tokens` can change before .* which it did at 240"):
        folder.claim(again, "abc", 241)


def test_how_a_run_ends_may_change_before_it_does(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(RECIPE, "abc", 0)
    rounds = replace(RECIPE, int8_part=0.3, decay=0.1)
    folder.claim(rounds, "abc", 70)
    with pytest.raises(TrainingError, match=r"`int8_part` can change before .* did at 70"):
        folder.claim(replace(rounds, int8_part=0.2), "abc", 71)


def test_longer_sequences_stay_as_they_began(tmp_path: Path) -> None:
    longer = replace(RECIPE, long_tokens=512)
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(longer, "abc", 0)
    folder.claim(replace(longer, tokens=4096 * 300), "abc", 70)
    with pytest.raises(TrainingError, match="began with another `long_part`"):
        folder.claim(replace(longer, long_part=0.05), "abc", 70)


def test_checkpoints_of_start_and_teacher_may_move(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(Recipe(teacher="here", init="here"), "abc", 0)
    folder.claim(Recipe(teacher="there", init="there"), "abc", 10)


@pytest.mark.parametrize(
    ("recipe", "corpus", "message"),
    [
        (RECIPE, "other", "another corpus"),
        (Recipe(seed=2), "abc", "began with another `"),
    ],
)
def test_other_runs_are_refused(tmp_path: Path, recipe: Recipe, corpus: str, message: str) -> None:
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(RECIPE, "abc", 0)
    with pytest.raises(TrainingError, match=message):
        folder.claim(recipe, corpus, 10)


def test_run_of_several_processes_is_refused_and_one_of_one_goes_on(tmp_path: Path) -> None:
    """What earlier versions wrote: the count of processes stood in run.json."""
    folder = RunFolder(tmp_path / "run", tmp_path)
    folder.claim(RECIPE, "abc", 0)
    file = tmp_path / "run" / "run.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"processes": 2}))
    with pytest.raises(TrainingError, match=r"began in 2 processes, and training has only one"):
        folder.claim(RECIPE, "abc", 10)
    file.write_text(json.dumps(found | {"processes": 1}))
    folder.claim(RECIPE, "abc", 10)
    assert json.loads(file.read_text()) == found
