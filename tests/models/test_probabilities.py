"""Logits to probabilities, at the edges of float32 too."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.probabilities import sigmoid, softmax, unchanged

LARGE = float(np.finfo(np.float32).max)
LOGITS = np.array([[0.5, -2.0, 3.0], [0.0, 0.0, 0.0], [LARGE, -LARGE, 0.0]], np.float32)


def test_softmax_gives_one_distribution_per_row() -> None:
    scores = softmax(LOGITS)
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    weights = [math.exp(logit) for logit in (0.5, -2.0, 3.0)]
    assert scores[0].tolist() == pytest.approx([weight / sum(weights) for weight in weights])
    assert scores[2].tolist() == [1, 0, 0]


def test_sigmoid_gives_a_probability_each() -> None:
    scores = sigmoid(LOGITS)
    expected = [1 / (1 + math.exp(-logit)) for logit in (0.5, -2.0, 3.0)]
    assert scores[0].tolist() == pytest.approx(expected)
    assert scores[2].tolist() == [1, 0, 0.5]


def test_unchanged_changes_nothing() -> None:
    assert (unchanged(LOGITS) == LOGITS).all()
