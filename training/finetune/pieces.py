"""Texts in, numbered word pieces out, and segments put together as BERT reads them.

[CLS] first [SEP], or [CLS] first [SEP] second [SEP]. Knows nothing of labels or of models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from training.errors import TrainingError
from training.vocabulary import Vocabulary, read_tokenizer

Int64 = NDArray[np.int64]
CHUNK = 1024  # texts tokenised at once: an Encoding is far larger than the ids kept of it


@dataclass(frozen=True, eq=False)
class Input:
    """One sequence for the encoder, the rows that the head reads of it, and what they should say.

    A long text can be several inputs.
    """

    ids: Int64
    """(tokens,)"""
    second: int
    """The first token of the second segment; `len(ids)` where there is none."""
    rows: Int64
    """(rows,) numbers of the tokens that the head reads."""
    targets: Int64
    """(targets,) what a task's loss compares the rows' logits with."""


class WordPieces:
    """The tokenizer of a checkpoint, and the longest sequence that it is used for."""

    def __init__(self, folder: Path, *, max_tokens: int, vocab_size: int) -> None:
        """Read `folder`'s tokenizer.json for sequences of `max_tokens`, special ones included."""
        self._tokenizer = read_tokenizer(folder)
        self.max_tokens = max_tokens
        self._vocabulary = Vocabulary.of(self._tokenizer)
        if self._vocabulary.size > vocab_size:
            raise TrainingError(
                f"The tokenizer of {folder} has more word pieces than the model has rows for them."
            )

    def of_texts(self, texts: Sequence[str]) -> Iterator[Encoding]:
        """The pieces of each text, with the characters they stand for, without special tokens."""
        for chunk in _chunks(texts):
            yield from self._tokenizer.encode_batch(list(chunk), add_special_tokens=False)

    def of_words(self, sentences: Sequence[Sequence[str]]) -> Iterator[Encoding]:
        """The pieces of sentences that are split into words; `word_ids` tells whose each is."""
        for chunk in _chunks(sentences):
            yield from self._tokenizer.encode_batch(
                [list(words) for words in chunk], is_pretokenized=True, add_special_tokens=False
            )

    def input(
        self,
        first: Sequence[int],
        second: Sequence[int] | None = None,
        *,
        rows: Sequence[int] = (0,),
        targets: Sequence[int],
    ) -> Input:
        """Join one segment or two; row 0 is [CLS]."""
        ids = [self._vocabulary.cls, *first, self._vocabulary.sep]
        boundary = len(ids)
        if second is not None:
            ids += [*second, self._vocabulary.sep]
        if len(ids) > self.max_tokens:
            raise ValueError(f"expected at most {self.max_tokens} tokens, found {len(ids)}")
        arrays = (np.array(values, dtype=np.int64) for values in (ids, rows, targets))
        tokens, read, wanted = arrays
        return Input(tokens, boundary, read, wanted)


def shared_room(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens each of two segments keeps, the longer one giving way first.

    >>> shared_room(50, 10, 30)
    (20, 10)
    >>> shared_room(50, 40, 31)
    (16, 15)
    """
    if first + second <= room:
        return first, second
    half = room // 2
    if second <= half:
        return room - second, second
    if first <= room - half:
        return first, room - first
    return room - half, half


def _chunks(texts: Sequence[str] | Sequence[Sequence[str]]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk  # type: ignore[misc]
