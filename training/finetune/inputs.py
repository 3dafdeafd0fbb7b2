"""Inputs in, padded batches for the encoder out, in the order in which they are trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from training.finetune.pieces import Input, Int64
from training.padded import pad

# Batches are filled from this many at a time, sorted by length: little padding, still a random mix.
WINDOW_BATCHES = 32


@dataclass(frozen=True, eq=False)
class InputBatch:
    """A rectangle of tokens. A row is a token's place in it: b * seq + s."""

    ids: Tensor
    """int64 (batch, seq), padded with 0 at the end; attention never sees the padding."""
    token_types: Tensor
    """int64 (batch, seq)"""
    lengths: Tensor
    """int64 (batch,)"""
    rows: Tensor
    """int64 (rows,) those that the head reads, input by input."""
    counts: Tensor
    """int64 (batch,) how many rows are read of each input."""
    targets: Tensor
    """int64 (targets,) those of all inputs, one after the other."""

    def to(self, device: torch.device) -> "InputBatch":
        """The same batch on a device."""
        return InputBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


def collate(inputs: Sequence[Input]) -> InputBatch:
    """Pad to the longest."""
    padded = pad([entry.ids for entry in inputs], [entry.second for entry in inputs])
    seq = padded.ids.shape[1]
    arrays = (
        padded.ids,
        padded.token_types,
        padded.lengths,
        np.concatenate([b * seq + entry.rows for b, entry in enumerate(inputs)]),
        np.array([len(entry.rows) for entry in inputs], dtype=np.int64),
        np.concatenate([entry.targets for entry in inputs]),
    )
    return InputBatch(*map(torch.from_numpy, arrays))


def training_batches(lengths: Int64, batch_size: int, rng: np.random.Generator) -> list[Int64]:
    """One epoch: the numbers of all inputs, in batches of about one length, in random order.

    Args:
        lengths: int64 (inputs,), tokens of each input.
        batch_size: inputs per batch; one batch may be smaller.
        rng: source of the order.

    Returns:
        int64 (batch,) arrays that hold each of 0 .. inputs - 1 once.
    """
    order = rng.permutation(len(lengths))
    window = batch_size * WINDOW_BATCHES
    batches: list[Int64] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        part = part[lengths[part].argsort(kind="stable")]
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def prediction_batches(lengths: Int64, batch_size: int) -> Iterator[Int64]:
    """The numbers of all inputs, the longest first, so that what does not fit shows at once."""
    order = (-lengths).argsort(kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
