"""Biases that are left out and moved, against attention in NumPy with all of them."""

import numpy as np
import pytest

from benchmarks.variants.folding import FoldedWeights
from export.check.reference import Float32
from tests.export.built_graph import MemoryWeights

TOLERANCE = 1e-5  # absolute, of sums of 12 products of normal numbers
TOKENS, H = 5, 12
RNG = np.random.default_rng(17)


def normal(*shape: int) -> Float32:
    values: Float32 = RNG.standard_normal(shape, dtype=np.float32)
    return values


ATTENTION = {
    f"layers.0.attention.{part}.{kind}": normal(*shape)
    for part in ("query", "key", "value", "output")
    for kind, shape in (("weight", (H, H)), ("bias", (H,)))
}


def attention(arrays: dict[str, Float32], x: Float32) -> Float32:
    """One head over all tokens, with the biases that there are: (T, H) -> (T, H)."""

    def project(part: str, rows: Float32) -> Float32:
        name = f"layers.0.attention.{part}"
        out: Float32 = rows @ arrays[f"{name}.weight"].T + arrays.get(f"{name}.bias", np.float32(0))
        return out

    scores = project("query", x) @ project("key", x).T / np.sqrt(H)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    context = weights / weights.sum(axis=1, keepdims=True) @ project("value", x)
    return project("output", context)


def test_attention_without_the_biases_is_the_same() -> None:
    folded = FoldedWeights(MemoryWeights(ATTENTION))
    assert len(folded) == len(list(folded)) == len(ATTENTION) - 2
    x = normal(TOKENS, H)
    found = attention({name: folded[name] for name in folded}, x)
    np.testing.assert_allclose(found, attention(ATTENTION, x), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("part", ["key", "value"])
def test_bias_that_is_left_out_is_not_there(part: str) -> None:
    folded = FoldedWeights(MemoryWeights(ATTENTION))
    name = f"layers.0.attention.{part}.bias"
    assert name not in folded
    with pytest.raises(KeyError):
        folded[name]


def test_other_weights_are_the_checkpoints() -> None:
    folded = FoldedWeights(MemoryWeights(ATTENTION))
    for name in set(ATTENTION) - {"layers.0.attention.output.bias"}:
        assert folded.shape(name) == ATTENTION[name].shape
        if name in folded:
            np.testing.assert_array_equal(folded[name], ATTENTION[name])
