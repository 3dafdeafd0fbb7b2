"""Spans of a corpus in, padded arrays of ids as BERT reads them out; then masked.

Knows nothing of how the spans were chosen.

    pair       [CLS] A A A [SEP] B B B [SEP] [PAD] [PAD]     token types 0 0 0 0 0 1 1 1 1 0 0
    segment    [CLS] A A A [SEP] [PAD] [PAD]                 token types 0 throughout
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.masking import Masking
from training.pair_plan import PairPlan
from training.stored_corpus import Corpus
from training.vocabulary import Vocabulary

NO_PAIR = -100  # the label of a segment alone; losses of PyTorch leave it out by default


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs, padded but not masked."""

    ids: NDArray[np.int64]  # int64 (batch, seq)
    token_types: NDArray[np.int64]  # int64 (batch, seq): 1 for B and its [SEP]
    lengths: NDArray[np.int64]  # int64 (batch,): tokens before the padding
    not_next: NDArray[np.int64]  # int64 (batch,): 0 where B follows A, 1 if not, NO_PAIR for no B


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Masked pairs; a flat row is b * seq + s."""

    ids: NDArray[np.int64]  # int64 (batch, seq): masked and padded
    token_types: NDArray[np.int64]  # int64 (batch, seq): 1 for B and its [SEP]
    lengths: NDArray[np.int64]  # int64 (batch,): tokens before the padding
    masked_rows: NDArray[np.int64]  # int64 (masks,): flat rows of the chosen tokens, ascending
    masked_ids: NDArray[np.int64]  # int64 (masks,): the tokens that were there
    not_next: NDArray[np.int64]  # int64 (batch,): 0 where B follows A, 1 if not, NO_PAIR for no B


@dataclass(frozen=True, eq=False)
class SentenceBatch:
    """Segments, padded and not masked."""

    ids: NDArray[np.int64]  # int64 (batch, seq): [CLS] A [SEP]
    lengths: NDArray[np.int64]  # int64 (batch,): tokens before the padding


def lay_out_pairs(corpus: Corpus, plan: PairPlan, pairs: NDArray[np.int64]) -> PairRows:
    """The pairs of these numbers, int64 (batch,), in rows as long as the longest of them."""
    vocabulary, tokens = corpus.vocabulary, corpus.tokens
    lengths = plan.lengths[pairs]
    ids = np.full((len(pairs), int(lengths.max())), vocabulary.pad, dtype=np.int64)
    token_types = np.zeros_like(ids)
    for row, pair in enumerate(pairs):
        first = tokens[plan.first_start[pair] : plan.first_end[pair]]
        middle, end = first.size + 1, lengths[row] - 1  # where the two [SEP] stand
        ids[row, 0] = vocabulary.cls
        ids[row, 1:middle] = first
        ids[row, middle] = vocabulary.sep
        if plan.alone[pair]:
            continue
        ids[row, middle + 1 : end] = tokens[plan.second_start[pair] : plan.second_end[pair]]
        ids[row, end] = vocabulary.sep
        token_types[row, middle + 1 : end + 1] = 1
    not_next = np.where(plan.alone[pairs], NO_PAIR, ~plan.is_next[pairs])
    return PairRows(ids, token_types, lengths, not_next)


def lay_out_segments(
    corpus: Corpus, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> SentenceBatch:
    """Single segments: those tokens of the corpus from `starts` (batch,) up to `ends` (batch,)."""
    vocabulary = corpus.vocabulary
    lengths = ends - starts + 2
    ids = np.full((len(starts), int(lengths.max())), vocabulary.pad, dtype=np.int64)
    ids[:, 0] = vocabulary.cls
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        ids[row, 1 : end - start + 1] = corpus.tokens[start:end]
        ids[row, end - start + 1] = vocabulary.sep
    return SentenceBatch(ids, lengths)


def mask_pairs(
    rows: PairRows,
    vocabulary: Vocabulary,
    masking: Masking,
    rng: np.random.Generator,
    *,
    unmasked: float = 0.0,
) -> PairBatch:
    """Hide tokens of each pair, but leave the share `unmasked` of those with a B as they are.

    Rows without a B are always masked, or they would teach nothing.
    """
    whole = np.zeros(len(rows.ids), np.bool_)
    if unmasked:
        whole = (rng.random(len(rows.ids)) < unmasked) & (rows.not_next != NO_PAIR)
    masked = masking.apply_rows(rows.ids, vocabulary, rng, whole=whole)
    return PairBatch(
        ids=masked.ids,
        token_types=rows.token_types,
        lengths=rows.lengths,
        masked_rows=masked.positions,
        masked_ids=masked.originals,
        not_next=rows.not_next,
    )


def mask_segments(
    batch: SentenceBatch,
    vocabulary: Vocabulary,
    masking: Masking,
    rngs: Iterable[np.random.Generator],
) -> PairBatch:
    """Hide tokens of each segment, with a generator for each, so that rows do not sway others."""
    rows = [
        masking.apply(ids[:length], vocabulary, rng)
        for ids, length, rng in zip(batch.ids, batch.lengths, rngs, strict=True)
    ]
    ids = batch.ids.copy()
    for row, masked in enumerate(rows):
        ids[row, : masked.ids.size] = masked.ids
    offsets = range(0, ids.size, ids.shape[1])
    return PairBatch(
        ids=ids,
        token_types=np.zeros_like(ids),
        lengths=batch.lengths,
        masked_rows=np.concatenate(
            [row.positions + offset for row, offset in zip(rows, offsets, strict=True)]
        ),
        masked_ids=np.concatenate([row.originals for row in rows]),
        not_next=np.zeros_like(batch.lengths),
    )
