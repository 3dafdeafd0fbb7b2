"""BERT in plain NumPy: the readable specification that every exported graph is checked against.

No padding, no masks, float32, nothing fused: what Devlin et al. 2018 (arXiv:1810.04805) and Vaswani
et al. 2017 (arXiv:1706.03762) describe. Attention sees one text at a time; everything else is done
row by row, for the rows of all texts at once. A test pins it to transformers.

Letters: n tokens of a text, N of all texts, H hidden, A attention heads, D = H / A, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.read.config import BertConfig

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
WeightsByName = Mapping[str, Float32]
Linear = Callable[[WeightsByName, str, Float32], Float32]
"""Weights, the name of a layer among them, the rows that go in (N, in) -> (N, out)."""


@dataclass(frozen=True)
class Text:
    """One tokenised text or pair."""

    ids: Int64
    """(n,)"""
    type_ids: Int64
    """(n,) 0 for the first segment, 1 for the second."""


@dataclass(frozen=True)
class Encoded:
    """The rows of one text after the last layer, and after the one before it."""

    last: Float32
    """(n, H)"""
    second_to_last: Float32
    """(n, H); the embeddings where the encoder has one layer."""


def linear(weights: WeightsByName, name: str, rows: Float32) -> Float32:
    """A product and a bias. (..., in) -> (..., out)."""
    product: Float32 = rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return product


def encode(
    weights: WeightsByName, config: BertConfig, texts: Sequence[Text], linear: Linear = linear
) -> list[Encoded]:
    """Embeddings, then every layer, with its products by `linear`. Each weight is read once."""
    ends = np.cumsum([len(text.ids) for text in texts])[:-1]
    rows = _embeddings(weights, config, texts)
    before = rows
    for index in range(config.num_hidden_layers):
        before, rows = rows, _layer(weights, f"layers.{index}", config, rows, ends, linear)
    return [
        Encoded(last, previous)
        for last, previous in zip(np.split(rows, ends), np.split(before, ends), strict=True)
    ]


def _embeddings(weights: WeightsByName, config: BertConfig, texts: Sequence[Text]) -> Float32:
    """Word + segment + position: the three things BERT adds up. Each (n,) -> all (N, H)."""
    words, types, positions = (
        weights[f"embeddings.{table}"] for table in ("word", "token_type", "position")
    )
    totals = [
        words[text.ids] + types[text.type_ids] + positions[np.arange(len(text.ids))]
        for text in texts
    ]
    return _norm(weights, "embeddings.norm", config, np.concatenate(totals))


def _layer(
    weights: WeightsByName,
    name: str,
    config: BertConfig,
    rows: Float32,
    ends: Int64,
    linear: Linear,
) -> Float32:
    """Self-attention, then feed-forward, each added to its input and normalised. (N, H)."""
    query, key, value = (
        np.split(linear(weights, f"{name}.attention.{part}", rows), ends)
        for part in ("query", "key", "value")
    )
    heads = config.num_attention_heads
    context = np.concatenate(
        [_attention(q, k, v, heads) for q, k, v in zip(query, key, value, strict=True)]
    )
    attended = rows + linear(weights, f"{name}.attention.output", context)
    rows = _norm(weights, f"{name}.attention.norm", config, attended)
    inner = activation(config.hidden_act, linear(weights, f"{name}.intermediate", rows))
    out = rows + linear(weights, f"{name}.output", inner)
    return _norm(weights, f"{name}.output.norm", config, out)


def _attention(query: Float32, key: Float32, value: Float32, heads: int) -> Float32:
    """softmax(Q Kᵀ / √D) V, for each of the A heads of one text. (n, H) -> (n, H)."""
    n, hidden = query.shape
    q, k, v = (x.reshape(n, heads, -1).transpose(1, 0, 2) for x in (query, key, value))  # (A, n, D)
    scores = q @ k.transpose(0, 2, 1) / np.float32(np.sqrt(hidden // heads))  # (A, n, n)
    context: Float32 = np.exp(log_softmax(scores)) @ v  # (A, n, D)
    return context.transpose(1, 0, 2).reshape(n, hidden)


def masked_language_model(weights: WeightsByName, config: BertConfig, rows: Float32) -> Float32:
    """Log-probabilities of the vocabulary at each row. (n, H) -> (n, V)."""
    rows = activation(config.hidden_act, linear(weights, "mlm.transform", rows))
    rows = _norm(weights, "mlm.norm", config, rows)
    tied = "mlm.decoder.weight" not in weights
    table = weights["embeddings.word" if tied else "mlm.decoder.weight"]
    return log_softmax(rows @ table.T + weights["mlm.decoder.bias"])


def pooler(weights: WeightsByName, rows: Float32) -> Float32:
    """Tanh of a product on the [CLS] row. (n, H) -> (H,)."""
    pooled: Float32 = np.tanh(linear(weights, "pooler", rows[0]))
    return pooled


def logits(weights: WeightsByName, head: str, rows: Float32) -> Float32:
    """A head that is one product: "nsp", "sequence", "token" or "qa". (..., H) -> (..., labels)."""
    return linear(weights, head, rows)


def _norm(weights: WeightsByName, name: str, config: BertConfig, rows: Float32) -> Float32:
    """Layer normalisation (Ba et al. 2016, arXiv:1607.06450) with the biased variance."""
    mean = rows.mean(axis=-1, keepdims=True)
    variance = rows.var(axis=-1, keepdims=True)
    unit = (rows - mean) / np.sqrt(variance + np.float32(config.layer_norm_eps))
    normed: Float32 = unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def activation(name: str, x: Float32) -> Float32:
    """The feed-forward's non-linearity: exact GELU, its tanh approximation, or ReLU.

    Hendrycks and Gimpel 2016, arXiv:1606.08415.
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
        case _:
            raise ValueError(f"expected an activation that BertConfig allows, found {name!r}")


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
