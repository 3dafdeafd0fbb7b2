"""A model in, the same one out with its products rounded as those of its int8 export will be.

A model whose training ends like this answers in int8 nearly as in float32 (quantisation-aware
training, Jacob et al. 2018, arXiv:1712.05877). The forward pass rounds; gradients pass as if it did
not (the straight-through estimator, Bengio et al. 2013, arXiv:1308.3432), to parameters that are
float32 all along and are what a checkpoint holds.

What is rounded is what `export/quantize.py` rounds: the encoder's products with one scale per row
and one per output, rows after GELU with 24 levels below zero and 231 above, columns brought near
by SmoothQuant's factors, and the word table by its rows, for lookup and decoder. The small heads
stay as they are. A test holds this model against the exported graph.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model import BertForPreTraining, BertModel, WordTable

LEVELS = 127  # symmetric int8: -127..127
SCALE_BITS, FACTOR_BITS = 15, 2  # of a weight's scale and of a factor
LEVELS_BELOW, LEVELS_ABOVE = 24, 231  # of a row after GELU
GELU_LEAST = -0.1701  # GELU gives nothing less
SMALLEST = 1e-30  # keeps a row of zeros from dividing by zero

# What the factors are measured on: so many random texts of so many tokens.
TEXTS, TOKENS, SEED = 16, 24, 0
EXPONENT = -0.5  # of a column's magnitude, relative to the mean
NEAREST = 0.01  # of the mean magnitude; bounds the factor of a column of zeros

Factors = dict[str, Tensor]
"""The float32 (H,) that rows are multiplied by before they are rounded, by their layer's name."""


class _Round(torch.autograd.Function):
    """Multiples of `step`; the gradient passes unchanged."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor, step: Tensor) -> Tensor:
        return (values / step).round_().mul_(step)

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def round_rows(values: Tensor) -> Tensor:
    """As int8 with a scale for each row: float (n, width) -> float32 (n, width).

    >>> round_rows(torch.tensor([[127.0, -60.4, 25.3]])).tolist()
    [[127.0, -60.0, 25.0]]
    """
    values = values.float()
    return _rounded(values, _scale_of(values))


def round_weight(weight: Tensor) -> Tensor:
    """As `round_rows`, with a scale as it is stored: float (out, in) -> float32 (out, in)."""
    weight = weight.float()
    return _rounded(weight, _round_to_bits(_scale_of(weight), SCALE_BITS))


def round_gelu_rows(values: Tensor) -> Tensor:
    """As uint8 with more levels above zero than below: float (n, width) -> float32 (n, width)."""
    values = values.float()
    top = values.detach().amax(dim=-1, keepdim=True)
    top = top.clamp_min(-GELU_LEAST / LEVELS_BELOW * LEVELS_ABOVE)
    return _rounded(values, top / LEVELS_ABOVE)


class Int8Linear(nn.Linear):
    """A layer with the parameters of `linear`, under the same names."""

    factor: Tensor | None

    def __init__(self, linear: nn.Linear, factor: Tensor | None, *, after_gelu: bool) -> None:
        super().__init__(linear.in_features, linear.out_features, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.after_gelu = after_gelu
        # No part of the checkpoint: a layer's factor is no weight of a BERT.
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Float (n, in) -> float (n, out)."""
        weight = self.weight
        if self.factor is not None:
            rows, weight = rows * self.factor, weight / self.factor
        rows = round_gelu_rows(rows) if self.after_gelu else round_rows(rows)
        return functional.linear(rows, round_weight(weight), self.bias)


class Int8WordTable(WordTable):
    """The word table with the parameter of `table`."""

    def __init__(self, table: WordTable) -> None:
        super().__init__(table.num_embeddings, table.embedding_dim, device="meta")
        self.weight = table.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Int64 (...) -> float (..., H)."""
        return round_weight(functional.embedding(ids, self.weight))

    def scores(self, rows: Tensor, bias: Tensor) -> Tensor:
        """Float (n, H), float (V,) -> float (n, V)."""
        return functional.linear(round_rows(rows), round_weight(self.weight), bias)


@torch.no_grad()
def measure_factors(model: BertForPreTraining) -> Factors:
    """SmoothQuant's factor of each layer that reads a norm's rows, from random tokens.

    The same numbers as the export's, but for a column here and there: it runs the tokens through
    rounded weights, this through the weights as they are.
    """
    factors: Factors = {}

    def note(name: str, _: nn.Module, inputs: tuple[Tensor]) -> None:
        factors[name] = factor_of(inputs[0])

    hooks = [
        layer.register_forward_pre_hook(partial(note, name))
        for name, layer in _products(model.bert)
        if _reads_norm(name)
    ]
    rng = np.random.default_rng(SEED)
    tokens = min(TOKENS, model.config.max_position_embeddings)
    ids = torch.from_numpy(rng.integers(0, model.config.vocab_size, (TEXTS, tokens)))
    ids = ids.to(next(model.parameters()).device)
    was_training = model.training
    try:
        model.eval()
        model.bert(ids, torch.zeros_like(ids), ids.new_full((TEXTS,), tokens))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return factors


def factor_of(rows: Tensor) -> Tensor:
    """What brings the columns of float (n, H) near each other: float32 (H,).

    1 or 1.5 times a power of two, as the export rounds it.

    >>> factor_of(torch.tensor([[2.0, -1.0, 1.0, 40.0]])).tolist()
    [2.0, 3.0, 3.0, 0.5]
    """
    magnitude = rows.float().abs().amax(dim=0)
    relative = magnitude / magnitude.mean().clamp_min(torch.finfo(torch.float32).tiny)
    return _round_to_bits(relative.clamp_min(NEAREST) ** EXPONENT, FACTOR_BITS)


def round_products(model: BertForPreTraining, factors: Mapping[str, Tensor]) -> None:
    """Put rounding layers in the place of the model's, with its parameters and their names."""
    device = next(model.parameters()).device
    for name, layer in list(_products(model.bert)):
        factor = factors[name].to(device) if _reads_norm(name) else None
        after_gelu = name.endswith(".output.dense") and not name.endswith(".attention.output.dense")
        model.bert.set_submodule(name, Int8Linear(layer, factor, after_gelu=after_gelu))
    embeddings = model.bert.embeddings
    embeddings.word_embeddings = Int8WordTable(embeddings.word_embeddings)


def factors_of(model: BertForPreTraining) -> Factors:
    """The factors that a model's products round with; none where they do not round."""
    return {
        name: layer.factor
        for name, layer in model.bert.named_modules()
        if isinstance(layer, Int8Linear) and layer.factor is not None
    }


def _products(encoder: BertModel) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers of the encoder, by name; the pooler is a head."""
    for name, layer in encoder.named_modules():
        if name.startswith("encoder.layer.") and isinstance(layer, nn.Linear):
            yield name, layer


def _reads_norm(name: str) -> bool:
    return name.endswith((".query", ".key", ".value", ".intermediate.dense"))


def _scale_of(values: Tensor) -> Tensor:
    """What a level is worth in each row: float32 (n, width) -> float32 (n, 1)."""
    peak: Tensor = torch.linalg.vector_norm(values.detach(), torch.inf, dim=-1, keepdim=True)
    return peak.clamp_min(SMALLEST) / LEVELS


def _round_to_bits(values: Tensor, bits: int) -> Tensor:
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 2**bits).round(), exponent - bits)


def _rounded(values: Tensor, step: Tensor) -> Tensor:
    return cast("Tensor", _Round.apply(values, step))  # type: ignore[no-untyped-call]
