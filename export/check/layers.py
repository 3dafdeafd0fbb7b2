"""What encoders are made of, in plain NumPy: products, norms, attention, activations.

No padding, no masks, float32, nothing fused: Vaswani et al. 2017 (arXiv:1706.03762). Attention sees
one text at a time; everything else is done row by row, for the rows of all texts at once.

Letters: n tokens of a text, N of all texts, H hidden, A attention heads, D = H / A.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.read.config import EncoderConfig
from export.read.weights import Float32, Weights

Int64 = NDArray[np.int64]
Linear = Callable[[Weights, str, Float32], Float32]
"""Weights, the name of a layer among them, the rows that go in (N, in) -> (N, out)."""
Turned = Callable[[Float32], Float32]
"""Queries or keys of one text (A, n, D) -> the same, turned by their positions."""
Scores = Callable[[Float32, Float32], Float32]
"""Queries and keys of one text (A, n, D) -> what is added to their scores: (1 or A, n, n)."""


@dataclass(frozen=True)
class Text:
    """One tokenised text or pair."""

    ids: Int64
    """(n,)"""
    type_ids: Int64
    """(n,) 0 for the first segment, 1 for the second."""


def linear(weights: Weights, name: str, rows: Float32) -> Float32:
    """A product and, where there is one, a bias. (..., in) -> (..., out)."""
    product: Float32 = rows @ weights[f"{name}.weight"].T
    return product + weights[f"{name}.bias"] if f"{name}.bias" in weights else product


@dataclass(frozen=True)
class NumpyEncoder:
    """What an architecture computes with: weights by name, and which rows are which text's."""

    weights: Weights
    config: EncoderConfig
    ends: Int64 | tuple[int, ...] = ()
    """The row behind the last of each text but the last text."""
    linear: Linear = linear

    def product(self, name: str, rows: Float32) -> Float32:
        """The named product. (N, in) -> (N, out)."""
        return self.linear(self.weights, name, rows)

    def norm(self, name: str, rows: Float32) -> Float32:
        """Layer normalisation (Ba et al. 2016, arXiv:1607.06450), biased variance. (N, H)."""
        mean = rows.mean(axis=-1, keepdims=True)
        variance = rows.var(axis=-1, keepdims=True)
        unit = (rows - mean) / np.sqrt(variance + np.float32(self.config.layer_norm_eps))
        normed: Float32 = unit * self.weights[f"{name}.weight"]
        bias = f"{name}.bias"
        return normed + self.weights[bias] if bias in self.weights else normed

    def activation(self, rows: Float32, name: str | None = None) -> Float32:
        """The named non-linearity, or that of the configuration. (N, I)."""
        return activation(name or self.config.hidden_act, rows)

    def attention(
        self,
        index: int,
        rows: Float32,
        *,
        name: str | None = None,
        turned: Turned | None = None,
        scores: Scores | None = None,
        scale: float | None = None,
    ) -> Float32:
        """Self-attention of layer `index`, each text for itself. (N, H) -> (N, H).

        Its weights are called after the layer, or after `name` where layers share them.
        """
        name = name or f"layers.{index}"
        query, key, value = (
            np.split(self.product(f"{name}.attention.{part}", rows), self.ends)
            for part in ("query", "key", "value")
        )
        heads = self.config.num_attention_heads
        return np.concatenate(
            [
                attention(q, k, v, heads, turned=turned, scores=scores, scale=scale)
                for q, k, v in zip(query, key, value, strict=True)
            ]
        )


def attention(
    query: Float32,
    key: Float32,
    value: Float32,
    heads: int,
    *,
    turned: Turned | None = None,
    scores: Scores | None = None,
    scale: float | None = None,
) -> Float32:
    """softmax(Q Kᵀ · scale) V, for each of the A heads of one text. (n, H) -> (n, H).

    `turned` turns queries and keys first, and what `scores` gives is added before the softmax.
    `scale` is 1 / √D unless given.
    """
    n, hidden = query.shape
    q, k, v = (x.reshape(n, heads, -1).transpose(1, 0, 2) for x in (query, key, value))  # (A, n, D)
    if turned is not None:
        q, k = turned(q), turned(k)
    scale = (hidden // heads) ** -0.5 if scale is None else scale
    scored = q @ k.transpose(0, 2, 1) * np.float32(scale)  # (A, n, n)
    if scores is not None:
        scored = scored + scores(q, k)
    context: Float32 = np.exp(log_softmax(scored)) @ v  # (A, n, D)
    return context.transpose(1, 0, 2).reshape(n, hidden)


def rotary(frequencies: Float32) -> Turned:
    """Turns the n tokens of a text by rotary positions (Su et al. 2021, arXiv:2104.09864).

    Column i of a head's D turns with column i + D/2, by position times frequency i of (D/2,).
    """

    def turned(rows: Float32) -> Float32:
        angle = np.arange(rows.shape[1], dtype=np.float32)[:, None] * frequencies  # (n, D/2)
        left, right = np.split(rows, 2, axis=-1)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)

    return turned


def within(farthest: int) -> Scores:
    """Only keys that stand at most so far from their query count: (1, n, n)."""

    def scores(query: Float32, key: Float32) -> Float32:
        distance = np.arange(key.shape[1]) - np.arange(query.shape[1])[:, None]
        return np.where(np.abs(distance) <= farthest, np.float32(0), np.float32(-np.inf))[None]

    return scores


def activation(name: str, x: Float32) -> Float32:
    """A non-linearity: exact GELU, its tanh approximation, ReLU, SiLU, or the tanh of poolers.

    GELU and SiLU: Hendrycks and Gimpel 2016, arXiv:1606.08415.
    """
    match name:
        case "gelu":
            return x * np.float32(0.5) * (1 + erf(x / np.float32(np.sqrt(2))))
        case "gelu_new" | "gelu_pytorch_tanh":
            inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x * x * x)
            curve: Float32 = np.tanh(inner)
            return x * np.float32(0.5) * (1 + curve)
        case "relu":
            positive: Float32 = np.maximum(x, np.float32(0))
            return positive
        case "silu":
            half = np.float32(0.5)
            sigmoid: Float32 = half * (1 + np.tanh(x * half))
            return x * sigmoid
        case "tanh":
            bounded: Float32 = np.tanh(x)
            return bounded
        case _:
            raise ValueError(f"expected a hidden_act that is known, found {name!r}")


def erf(x: Float32) -> Float32:
    """The error function, within 1.5e-7 and rounding (Abramowitz and Stegun 1964, 7.1.26).

    >>> erf(np.array([0.0, 1.0, -3.0], np.float32)).round(6).tolist()
    [0.0, 0.8427010178565979, -0.9999780058860779]
    """
    a1, a2, a3, a4, a5 = 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429
    magnitude = np.abs(x)
    t = 1 / (1 + 0.3275911 * magnitude)
    series = ((((a5 * t + a4) * t + a3) * t + a2) * t + a1) * t
    value = 1 - series * np.exp(-magnitude * magnitude)
    signed: Float32 = np.copysign(value, x)
    return signed


def log_softmax(scores: Float32) -> Float32:
    """Logarithm of softmax over the last axis, safe against overflow."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    result: Float32 = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
