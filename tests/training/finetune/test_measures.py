"""Measures against their definitions, and against small cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.finetune.measures import (
    answer_scores,
    entities,
    entity_measures,
    f1,
    has_entities,
    label_measures,
    labels_measures,
    number_measures,
)


@pytest.mark.parametrize("classes", [2, 5, 40])
def test_measures_of_labels_are_counted_over_the_classes_of_either_side(classes: int) -> None:
    rng = np.random.default_rng(classes)
    right, found = rng.integers(0, classes, 60), rng.integers(0, classes + 2, 60)
    scores = []
    for label in set(right) | set(found):
        ours, theirs = right == label, found == label
        counts = {"right": int(ours.sum()), "found": int(theirs.sum())}
        scores.append(f1(agreed=int((ours & theirs).sum()), **counts))
    measures = label_measures(right, found)
    assert measures["accuracy"] == pytest.approx(np.mean(right == found))
    assert measures["macro_f1"] == pytest.approx(np.mean(scores))


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O O", set()),
        ("B-A I-A O B-A", {("A", 0, 2), ("A", 3, 4)}),
        ("B-A B-A I-A", {("A", 0, 1), ("A", 1, 3)}),
        ("I-A I-A I-B B-B", {("A", 0, 2), ("B", 2, 3), ("B", 3, 4)}),
        ("O I-A-B I-A-B", {("A-B", 1, 3)}),
    ],
)
def test_entities_are_those_of_conll(tags: str, found: set[tuple[str, int, int]]) -> None:
    assert entities(tags.split()) == found


def test_an_entity_counts_only_where_kind_and_both_ends_agree() -> None:
    right = [["B-A", "I-A", "O", "B-B", "O"], ["B-A"]]
    found = [["B-A", "I-A", "O", "B-A", "B-C"], ["O"]]
    assert entity_measures(right, found) == {
        "entity_precision": 1 / 3, "entity_recall": 1 / 3, "entity_f1": 1 / 3,
    }  # fmt: skip
    assert entity_measures(right, right)["entity_f1"] == 1
    nothing = [["O"], ["O"]]
    assert entity_measures(nothing, nothing) == dict.fromkeys(entity_measures(right, right), 1.0)
    assert entity_measures(nothing, [["B-A"], ["O"]])["entity_recall"] == 0
    assert entity_measures([["B-A"], ["O"]], nothing)["entity_precision"] == 0


def test_tags_of_other_schemes_are_not_taken_for_entities() -> None:
    assert not has_entities(["O"])
    assert not has_entities(["B-A", "E-A", "O"])
    assert has_entities(["I-A", "O"])


def test_f1_of_nothing_at_all_is_full() -> None:
    assert f1(agreed=0, right=0, found=0) == 1
    assert f1(agreed=0, right=2, found=0) == 0


def test_the_nearest_right_answer_counts() -> None:
    assert answer_scores(["in 1999", "1999"], "the 1999.", abstain=False) == (1, 1)
    f1_of_two = answer_scores(["x y", "e b c d"], "b c", abstain=False)[1]
    assert f1_of_two == pytest.approx(2 / 3)
    assert answer_scores([], "x", abstain=True) == (0, 0)
    assert answer_scores([], "", abstain=True) == (1, 1)
    repeated = answer_scores(["b b c"], "b b b", abstain=False)[1]
    assert repeated == pytest.approx(2 / 3)  # a word counts as often as it is


def test_measures_of_numbers_are_scipys_and_zero_where_nothing_varies() -> None:
    rng = np.random.default_rng(3)
    right, found = rng.normal(size=40), rng.normal(size=40)
    measures = number_measures(right, found)
    assert measures["pearson"] == pytest.approx(np.corrcoef(right, found)[0, 1])
    ranks = [side.argsort().argsort() for side in (right, found)]
    assert measures["spearman"] == pytest.approx(np.corrcoef(ranks[0], ranks[1])[0, 1])
    assert measures["rmse"] == pytest.approx(float(np.linalg.norm(right - found) / 40**0.5))
    flat = number_measures(right, np.zeros(40))
    assert (flat["spearman"], flat["pearson"]) == (0.0, 0.0)


def test_labels_that_nobody_has_and_nobody_names_count_for_nothing() -> None:
    right = np.array([[1, 0, 0], [0, 1, 0]])
    assert labels_measures(right, np.zeros_like(right)) == {
        "micro_f1": 0.0,
        "macro_f1": 0.0,
        "exact_match": 0.0,
    }
    assert labels_measures(right, right) == {"micro_f1": 1.0, "macro_f1": 1.0, "exact_match": 1.0}


def test_one_label_alone_is_counted_as_one_of_several() -> None:
    right, found = np.array([[1], [1], [0], [0]]), np.array([[1], [0], [1], [0]])
    assert labels_measures(right, found) == {"micro_f1": 0.5, "macro_f1": 0.5, "exact_match": 0.5}
