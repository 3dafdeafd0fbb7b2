"""Texts in, inputs in padded batches out, in the order in which they are trained on.

An input is [CLS] first [SEP], or [CLS] first [SEP] second [SEP]. Knows nothing of labels or models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding
from torch import Tensor

from training.masking import pad
from training.vocabulary import read_model_tokenizer

Int64 = NDArray[np.int64]
Targets = NDArray[np.int64] | NDArray[np.float64]  # numbers of labels, or a regression's numbers
CHUNK = 1024  # texts tokenised at once: an Encoding is far larger than the ids kept of it
# Batches are filled from this many at a time, sorted by length: little padding, still a random mix.
WINDOW_BATCHES = 32


@dataclass(frozen=True, eq=False)
class Input:
    """One sequence for the encoder, the rows that the head reads of it, and what they should say.

    A long text can be several inputs.
    """

    ids: Int64  # (tokens,)
    second: int  # the first token of the second segment; `len(ids)` where there is none
    rows: Int64  # (rows,): numbers of the tokens that the head reads
    targets: Targets  # (targets,): what a task's loss compares the rows' logits with


class WordPieces:
    """The tokenizer of a checkpoint, and the longest sequence that it is used for."""

    def __init__(self, folder: Path, *, max_tokens: int, vocab_size: int) -> None:
        """Read `folder`'s tokenizer.json for sequences of `max_tokens`, special ones included.

        Text that spells [MASK] or [SEP] stays text, as in a corpus.
        """
        self._tokenizer, self._vocabulary = read_model_tokenizer(folder, vocab_size, plain=True)
        self.max_tokens = max_tokens

    def of(self, texts: list[str] | list[list[str]], *, words: bool = False) -> Iterator[Encoding]:
        """The pieces of each text, with the characters they stand for, without special tokens.

        With `words` each text is a list of them, and `word_ids` tells whose each piece is.
        """
        for start in range(0, len(texts), CHUNK):
            yield from self._tokenizer.encode_batch(
                texts[start : start + CHUNK], is_pretokenized=words, add_special_tokens=False
            )

    def input(
        self,
        first: Sequence[int],
        second: Sequence[int] | None = None,
        *,
        rows: Sequence[int] = (0,),
        targets: Sequence[float],
    ) -> Input:
        """Join one segment or two; row 0 is [CLS]."""
        ids = [self._vocabulary.cls, *first, self._vocabulary.sep]
        boundary = len(ids)
        if second is not None:
            ids += [*second, self._vocabulary.sep]
        if len(ids) > self.max_tokens:
            raise ValueError(f"expected at most {self.max_tokens} tokens, found {len(ids)}")
        tokens, read = (np.array(values, np.int64) for values in (ids, rows))
        return Input(tokens, boundary, read, np.array(targets))


def shared_room(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens each of two segments keeps, the longer one giving way first.

    >>> shared_room(50, 10, 30)
    (20, 10)
    >>> shared_room(50, 40, 31)
    (16, 15)
    """
    half = room // 2
    return min(first, room - min(second, half)), min(second, max(room - first, half))


@dataclass(frozen=True, eq=False)
class InputBatch:
    """A rectangle of tokens. A row is a token's place in it: b * seq + s."""

    ids: Tensor  # int64 (batch, seq), padded with 0 at the end
    token_types: Tensor  # int64 (batch, seq)
    lengths: Tensor  # int64 (batch,)
    rows: Tensor  # int64 (rows,): those that the head reads, input by input
    counts: Tensor  # int64 (batch,): how many rows are read of each input
    targets: Tensor  # int64 or float64 (targets,): those of all inputs, one after the other

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
