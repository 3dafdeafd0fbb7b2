"""Thresholds: the best by trying all, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from training.errors import TrainingError
from training.evaluate.labelled.thresholds import (
    FOLDS,
    Thresholds,
    best_threshold,
    held_out_decisions,
    read_thresholds,
)

LABELS = ("rude", "spam")


@pytest.mark.parametrize("seed", range(8))
def test_no_threshold_has_a_higher_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 31) / 8 if seed % 2 else rng.random(31)
    right = rng.random(31) < 0.2 + 0.6 * scores
    found = best_threshold(right, scores)
    best = max(
        f1_score(right, scores >= limit, zero_division=0) for limit in {*scores.tolist(), 2.0}
    )
    assert f1_score(right, scores >= found) == pytest.approx(best)
    middle = f1_score(right, scores >= 0.5, zero_division=0)
    assert (found == 0.5) == (middle == pytest.approx(best)), "0.5 stays where nothing is better"


def test_a_label_that_never_applies_keeps_the_usual_threshold() -> None:
    assert best_threshold(np.zeros(3, bool), np.array([0.9, 0.1, 0.4])) == 0.5


def test_rows_are_decided_by_thresholds_of_other_documents() -> None:
    rng = np.random.default_rng(5)
    documents = np.repeat(np.arange(20), 3)
    scores = rng.random((60, 2)) * 0.4  # 0.5 would find nothing
    applies = scores > 0.2
    decided = held_out_decisions(applies, scores, documents)
    assert (decided == applies).mean() > 0.9
    # What a fold is itself does not tell how it is decided.
    other = applies.copy()
    other[:3] = ~other[:3]
    assert (held_out_decisions(other, scores, documents)[:3] == decided[:3]).all()
    assert not held_out_decisions(applies, scores, documents % (FOLDS - 1)).any()


def test_average_precision_is_none_of_a_label_that_never_applies() -> None:
    applies = np.array([[True, False], [False, False]])
    found = Thresholds.of(LABELS, applies, np.array([[0.9, 0.2], [0.4, 0.1]]), {})
    assert found.average_precision == {"rude": 1.0, "spam": None}
    assert found.used == {"rude": 0.5, "spam": 0.5}


def test_thresholds_are_read_from_an_object_or_from_an_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    for document in ({"rude": 0.25}, {"date": "today", "thresholds": {"rude": 0.25}}):
        path.write_text(json.dumps(document))
        assert read_thresholds(path, LABELS) == {"rude": 0.25}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"rude": 0.5,\n oops}', r"limits.json, line 2: it is not JSON; expected is an object"),
        ("[0.5]", "holds no object"),
        ('{"Rude": 0.5}', "has a threshold for Rude, .* its labels are rude, spam"),
        ('{"rude": 1.5}', "the threshold of rude is no number from 0 to 1"),
        ('{"rude": true}', "the threshold of rude is no number"),
        ('{"rude": "0.5"}', "the threshold of rude is no number"),
    ],
)
def test_other_files_are_refused_in_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        read_thresholds(path, LABELS)
    with pytest.raises(TrainingError, match="cannot be read: No such file"):
        read_thresholds(tmp_path / "none.json", LABELS)
