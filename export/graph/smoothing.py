"""Weights in, the same function with no column of a product's rows far out (SmoothQuant).

Some columns of what a norm gives are far larger than the others, in every text. An int8 row has one
scale, so they leave few levels to the others. Xiao et al. 2023 (arXiv:2211.10438) multiply each
column of the rows by a factor before they are quantised, and divide the weight's column by it:

    W · x = (W / factor) · (factor · x)        factor = (magnitude / mean magnitude) ^ -0.5

Magnitudes are measured on random tokens: the columns that are far out are so in any language. The
factor of the rows that queries, keys and values read is `layers.N.attention.factor`, that of the
feed-forward's first product, and of its gate, `layers.N.intermediate.factor`. A product after
attention or GELU is left as it is: attention's rows have no such columns, and GELU lets no factor
through.

Weights on the way are rounded as they will be stored, and factors are 1 or 1.5 times a power of
two. So weights that come back from int8 give the same factors, and the same integers, to the bit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from export.architectures.registry import architecture_of
from export.check import layers, reference
from export.check.layers import Text
from export.graph.quantize import quantise_rows, round_to_bits
from export.read.config import EncoderConfig
from export.read.weights import WORD_TABLE, Float32, Weights

TEXTS, TOKENS = 16, 24  # twice as many agree with float32 no more often
SEED = 0
# What the rows' levels gain, the weights' lose. Down to -0.8 agreement is the same or lower.
EXPONENT = -0.5
FACTOR_BITS = 2  # 1 or 1.5 times a power of two, which float32 multiplies an int8 level by exactly
NEAREST = np.float32(0.01)  # of the mean magnitude; bounds the factor of a column of zeros


def factor_name(weight: str) -> str:
    """The factor that a weight's columns are divided by, or nothing.

    >>> factor_name("layers.2.attention.key.weight")
    'layers.2.attention.factor'
    >>> factor_name("layers.2.gate.weight"), factor_name("layers.2.output.weight")
    ('layers.2.intermediate.factor', '')
    """
    part, _, kind = weight.rpartition(".")
    block, _, product = part.rpartition(".")
    if kind != "weight" or not weight.startswith("layers."):
        return ""
    if product in ("query", "key", "value"):
        return f"{block}.factor"
    return f"{block}.intermediate.factor" if product in ("intermediate", "gate") else ""


@dataclass(frozen=True, eq=False)
class SmoothedWeights(Weights):
    """The weights of a checkpoint with columns divided by factors, and the factors."""

    weights: Weights
    factors: Mapping[str, Float32]
    """float32 (H,), by their own names."""

    def __getitem__(self, name: str) -> Float32:
        """One weight, or one factor."""
        if name in self.factors:
            return self.factors[name]
        weight = self.weights[name]
        factor = self.factors.get(factor_name(name))
        return weight if factor is None else weight / factor

    def __iter__(self) -> Iterator[str]:
        yield from self.weights
        yield from self.factors

    def __len__(self) -> int:
        return len(self.weights) + len(self.factors)

    def __contains__(self, name: object) -> bool:
        return name in self.weights or name in self.factors


def smoothed(weights: Weights, config: EncoderConfig) -> SmoothedWeights:
    """Weights for `Int8Linear`, which multiplies the rows by the factors."""
    return SmoothedWeights(weights, measure_factors(weights, config))


def measure_factors(weights: Weights, config: EncoderConfig) -> dict[str, Float32]:
    """Run random tokens, and take each factor from the first rows that need it: float32 (H,)."""
    factors: dict[str, Float32] = {}
    stored = _Rounded(weights, factors)

    def linear(weights: Weights, name: str, rows: Float32) -> Float32:
        if factor := factor_name(f"{name}.weight"):
            factors.setdefault(factor, factor_of(rows))
        return layers.linear(weights, name, rows)

    tokens = min(TOKENS, architecture_of(config).max_tokens(config))
    ids = np.random.default_rng(SEED).integers(0, config.vocab_size, (TEXTS, tokens))
    texts = [Text(row, np.zeros(tokens, np.int64)) for row in ids]
    reference.encode(stored, config, texts, linear)
    return factors


def factor_of(rows: Float32) -> Float32:
    """What brings the columns of rows (n, H) near each other: float32 (H,).

    >>> factor_of(np.array([[2.0, -1.0, 1.0, 40.0]], np.float32)).tolist()
    [2.0, 3.0, 3.0, 0.5]
    """
    magnitude = np.abs(rows).max(axis=0)
    relative = magnitude / max(magnitude.mean(), np.finfo(np.float32).tiny)
    return round_to_bits(np.maximum(relative, NEAREST) ** np.float32(EXPONENT), FACTOR_BITS)


class _Rounded(SmoothedWeights):
    """Weights as they come back from int8, with the factors that are known so far."""

    def __getitem__(self, name: str) -> Float32:
        weight = super().__getitem__(name)
        encoder = name.startswith(("layers.", "embeddings.")) and name.endswith(".weight")
        if not (encoder and weight.ndim > 1) and name != WORD_TABLE:
            return weight
        quantised = quantise_rows(weight)
        back: Float32 = quantised.values * quantised.scale[:, None]
        factor = self.factors.get(factor_name(name))
        return back if factor is None else back * factor
