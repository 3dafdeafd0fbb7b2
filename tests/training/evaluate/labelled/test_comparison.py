"""Two models on the same rows: what pairing is for, and McNemar's test by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.training.evaluate.labelled.fixed_model import Fixed, texts
from training.evaluate.labelled.comparison import Comparison, McNemar, compare
from training.evaluate.labelled.material import Material
from training.evaluate.labelled.outcome import judge
from training.finetune.labelling import Problem

ROWS = 300


def compared(ours: Any, theirs: Any, documents: Any) -> Comparison:
    """Two models of which each has the rows right that its bool (ROWS,) says."""
    material = Material("t.csv", texts(["b"] * ROWS), documents, "rows", {})
    one, other = (
        judge(Fixed("sequence", "ab", Problem.CLASSES, np.stack([~hit, hit], 1)), material, {})
        for hit in (ours, theirs)
    )
    return compare(one, other, material, name="other", same_labels=True)


def hits(share: float, seed: int) -> Any:
    found: Any = np.random.default_rng(seed).random(ROWS) < share
    return found


def test_pairing_takes_out_what_is_hard_for_both() -> None:
    ours = hits(0.7, 1)
    theirs = ours.copy()
    theirs[np.flatnonzero(ours)[:9]] = False
    theirs[np.flatnonzero(~ours)[:2]] = True
    found = compared(ours, theirs, np.arange(ROWS))
    accuracy = found.differences[0]
    assert accuracy.key == "accuracy"
    assert accuracy.value - accuracy.other == pytest.approx(7 / ROWS)
    assert accuracy.interval.value == pytest.approx(7 / ROWS)
    # The difference of a row is +1 nine times and -1 twice, otherwise 0.
    error = math.sqrt((11 / ROWS - (7 / ROWS) ** 2) / ROWS)
    assert accuracy.interval.low == pytest.approx(7 / ROWS - 1.96 * error, abs=0.005)
    assert accuracy.interval.high == pytest.approx(7 / ROWS + 1.96 * error, abs=0.005)
    assert found.otherwise == 11
    assert found.mcnemar is not None
    assert (found.mcnemar.only_this, found.mcnemar.only_other) == (9, 2)
    assert found.mcnemar.p == pytest.approx(2 * sum_of_ways(11, 2), abs=1e-12)


def sum_of_ways(count: int, most: int) -> float:
    """P(at most so many of `count` throws of a coin)."""
    return sum(math.comb(count, k) for k in range(most + 1)) * 0.5**count


def test_a_model_does_not_differ_from_itself() -> None:
    ours = hits(0.6, 2)
    found = compared(ours, ours, np.arange(ROWS))
    assert found.mcnemar == McNemar(0, 0, 1.0)
    assert found.otherwise == 0
    for one in found.differences:
        assert (one.interval.low, one.interval.value, one.interval.high) == (0, 0, 0)


def test_rows_that_tell_of_each_other_have_no_exact_test() -> None:
    found = compared(hits(0.6, 2), hits(0.6, 3), np.arange(ROWS) // 2)
    assert found.mcnemar is None


def test_other_labels_are_not_compared_by_name() -> None:
    material = Material("t.csv", texts(["b"] * 4), np.arange(4), "rows", {})
    one = judge(Fixed("sequence", "ab", Problem.CLASSES, np.eye(2)[[0, 1, 1, 1]]), material, {})
    assert compare(one, one, material, name="other", same_labels=False).otherwise is None
