"""Weighted measures against scikit-learn's and SciPy's of rows that are repeated as often."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from training.evaluate.labelled.weighted import Counts, Mean, Pearson, Spearman

CLOSE = 1e-9


def drawn(examples: int, draws: int = 5, seed: int = 4) -> Any:
    """Float64 (draws, examples): some examples are left out, some are there up to three times."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (draws, examples)).astype(np.float64)
    weights[0] = 1.0
    return weights


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_counts_of_labels_are_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(classes)
    right, found = rng.integers(0, classes, 23), rng.integers(0, classes, 23)
    counts = Counts.of_labels(np.arange(23), right, found, examples=23, classes=classes)
    for weights in drawn(23):
        often = weights.astype(int)
        ours, theirs = np.repeat(right, often), np.repeat(found, often)
        once = weights[None]
        assert counts.macro_f1(once)[0] == pytest.approx(
            f1_score(ours, theirs, average="macro", zero_division=0), abs=CLOSE
        )
        assert counts.micro_f1(once)[0] == pytest.approx(np.mean(ours == theirs), abs=CLOSE)
        for own, measure in (
            (counts.precision, precision_score), (counts.recall, recall_score),
            (counts.f1, f1_score),
        ):  # fmt: skip
            wanted = measure(
                ours, theirs, labels=range(classes), average=None, zero_division=np.nan
            )
            np.testing.assert_allclose(own(once)[0], wanted, atol=CLOSE)


def test_all_draws_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    right, found = rng.integers(0, 3, 17), rng.integers(-1, 3, 17)
    places = rng.integers(0, 6, 17)
    counts = Counts.of_labels(places, right, found, examples=6, classes=3)
    weights = drawn(6, draws=4)
    for measure in (counts.macro_f1, counts.micro_f1, counts.micro_precision, counts.micro_recall):
        together = measure(weights)
        assert together.shape == (4,)
        np.testing.assert_allclose(together, [measure(one[None])[0] for one in weights])


def test_what_nobody_names_is_found_nowhere() -> None:
    counts = Counts.of_labels(
        np.array([0, 1]), np.array([0, 1]), np.array([-1, 1]), examples=2, classes=2
    )
    agreed, right, found = counts.drawn(np.ones((1, 2)))
    assert (agreed.tolist(), right.tolist(), found.tolist()) == ([[0, 1]], [[1, 1]], [[0, 1]])
    assert counts.micro_recall(np.ones((1, 2)))[0] == 0.5


def test_nothing_to_find_and_nothing_found_is_full() -> None:
    nothing = Counts.of([], [], [], examples=3, classes=2)
    once = np.ones((1, 3))
    for measure in (
        nothing.macro_f1, nothing.micro_f1, nothing.micro_precision, nothing.micro_recall
    ):  # fmt: skip
        assert measure(once).tolist() == [1.0]
    named = Counts.of([], [], [(0, 1)], examples=3, classes=2)
    assert named.micro_recall(once).tolist() == [0.0]
    assert Counts.of([], [(0, 1)], [], examples=3, classes=2).micro_precision(once).tolist() == [0]


@pytest.mark.parametrize("ties", [True, False])
def test_correlations_are_scipys(*, ties: bool) -> None:
    rng = np.random.default_rng(8)
    one = rng.integers(0, 5, 19).astype(np.float64) if ties else rng.normal(size=19) * 1e4 + 1e6
    other = one * 0.3 + rng.normal(size=19) * np.std(one)
    for weights in drawn(19):
        often = weights.astype(int)
        ours, theirs = np.repeat(one, often), np.repeat(other, often)
        assert Pearson(one, other)(weights[None])[0] == pytest.approx(
            stats.pearsonr(ours, theirs).statistic, abs=CLOSE
        )
        assert Spearman(one, other)(weights[None])[0] == pytest.approx(
            stats.spearmanr(ours, theirs).statistic, abs=CLOSE
        )


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_numbers_that_never_vary_correlate_with_nothing(value: float) -> None:
    flat, other = np.full(7, value), np.arange(7.0)
    for measure in (Pearson, Spearman):
        assert measure(flat, other)(drawn(7)).tolist() == [0.0] * 5
        assert measure(other, flat)(drawn(7)).tolist() == [0.0] * 5


def test_a_mean_is_over_all_that_the_examples_have() -> None:
    mean = Mean(np.array([1.0, 4.0, 0.0]), np.array([2.0, 4.0, 5.0]))
    assert mean(np.array([[1, 1, 1], [0, 2, 1], [0, 0, 0]])).tolist() == [5 / 11, 8 / 13, 0.0]
