"""An `EncoderConfig` and heads in, parameters by part out, beside the textbook estimate."""

from collections.abc import Collection, Mapping
from math import prod

from export.read.config import EncoderConfig
from export.read.weight_shapes import canonical_shapes

_PARTS = {"layers": "encoder"}  # every other part is called as its weights are


def count_parameters(
    config: EncoderConfig, heads: Collection[str], *, tied: bool = True
) -> dict[str, int]:
    """Exact counts of "embeddings", "encoder" and each head, their "total", and "textbook".

    The textbook estimate V·H + L·12·H² counts the word embeddings and the matrices of the layers;
    a `tied` decoder shares the word embeddings and is counted once.

    >>> base = EncoderConfig(30522, 768, 12, 12, 3072, "gelu", 512, 2, 1e-12, (), False)
    >>> count_parameters(base, ("pooler",))["total"]
    109482240
    """
    counts: dict[str, int] = {}
    shapes = canonical_shapes(config, heads, labels=len(config.labels), tied=tied)
    for name, shape in shapes.items():
        part = name.partition(".")[0]
        part = _PARTS.get(part, part)
        counts[part] = counts.get(part, 0) + prod(shape)
    total = sum(counts.values())
    return counts | {"total": total, "textbook": textbook_estimate(config)}


def textbook_estimate(config: EncoderConfig) -> int:
    """V·H + L·12·H²: what one computes on paper, with an intermediate size of 4·H."""
    V, H, L = config.vocab_size, config.hidden_size, config.num_hidden_layers
    return V * H + L * 12 * H * H


def parameter_table(counts: Mapping[str, int]) -> str:
    """One line per part, as printed after an export.

    >>> print(parameter_table({"embeddings": 23837184, "total": 109482240}))
    embeddings   23,837,184
    total       109,482,240
    """
    labels = {name: _LABELS.get(name, name) for name in counts}
    left = max(map(len, labels.values()))
    right = max(len(f"{count:,}") for count in counts.values())
    return "\n".join(f"{labels[n]:<{left}}  {count:>{right},}" for n, count in counts.items())


_LABELS = {"textbook": "textbook V·H + L·12·H²"}
