"""Logits in, probabilities out, in float64."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


def softmax(logits: Float32) -> Float64:
    """One distribution over the last axis; of the same shape.

    >>> softmax(np.array([0.0, 0.0, -200.0], np.float32)).round(3).tolist()
    [0.5, 0.5, 0.0]
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    scores: Float64 = np.exp(shifted)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def sigmoid(logits: Float32) -> Float64:
    """One probability for each number by itself; of the same shape.

    >>> sigmoid(np.array([0.0, 1.0, -800.0], np.float32)).round(3).tolist()
    [0.5, 0.731, 0.0]
    """
    # Half of 1 + tanh(x / 2) is the same function, and overflows nowhere.
    scores: Float64 = (1 + np.tanh(logits.astype(np.float64) / 2)) / 2
    return scores


def unchanged(logits: Float32) -> Float64:
    """The logits as they are; of the same shape."""
    return logits.astype(np.float64)
