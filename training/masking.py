"""Sequences of ids in, arrays padded to one length as BERT reads them out, with tokens masked.

    pair       [CLS] A A A [SEP] B B B [SEP] [PAD] [PAD]     token types 0 0 0 0 0 1 1 1 1 0 0
    segment    [CLS] A A A [SEP] [PAD] [PAD]                 token types 0 throughout

The masked language model is that of Devlin et al. 2018 (section 3.1 and appendix A.1), drawn anew
each time a sequence is seen (Liu et al. 2019, section 4.1).

THE ALGORITHM: give every token that may be chosen a random key, sort by key, choose the first
15 %. Of the chosen, replace 80 % by [MASK] and 10 % by a random piece; leave 10 % as they are.

Letters: B rows of a batch, S tokens of a row, M chosen tokens of all rows. Knows nothing of models,
nor of how the sequences were chosen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.pairs import PairPlan
from training.stored_corpus import Corpus
from training.vocabulary import Vocabulary

Int64 = NDArray[np.int64]
RATE = 0.15  # of the tokens that are not special are chosen, at least one of a row
MASK = 0.8  # of the chosen become [MASK]
RANDOM = 0.1  # of the chosen become another piece; the rest stay
NO_PAIR = -100  # the label of a segment alone; losses of PyTorch leave it out by default


@dataclass(frozen=True, eq=False)
class Padded:
    """Sequences in a rectangle. A flat row is a token's place in it: b * seq + s."""

    ids: Int64  # int64 (batch, seq)
    token_types: Int64  # int64 (batch, seq): 1 for B and its [SEP]
    lengths: Int64  # int64 (batch,): tokens before the padding


@dataclass(frozen=True, eq=False)
class PairBatch(Padded):
    """Masked pairs, or segments alone."""

    masked_rows: Int64  # int64 (masks,): flat rows of the chosen tokens, ascending
    masked_ids: Int64  # int64 (masks,): the tokens that were there
    not_next: Int64  # int64 (batch,): 0 where B follows A, 1 if not, NO_PAIR for no B


def pad(
    sequences: Sequence[ArrayLike], seconds: ArrayLike | None = None, *, pad: int = 0
) -> Padded:
    """Put sequences, int64 (length,) each, into one rectangle.

    `seconds` is int64 (batch,): where the second segment of each begins, its length for none.

    >>> pad([[2, 7, 3, 8, 3], [2, 9, 3]], seconds=[3, 3]).token_types.tolist()
    [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    lengths = np.array([array.size for array in arrays], np.int64)
    ids = np.full((len(arrays), int(lengths.max())), pad, np.int64)
    for row, array in zip(ids, arrays, strict=True):
        row[: array.size] = array
    types = np.zeros_like(ids)
    if seconds is not None:
        places = np.arange(ids.shape[1])
        types[(places >= np.asarray(seconds)[:, None]) & (places < lengths[:, None])] = 1
    return Padded(ids, types, lengths)


def pad_pairs(corpus: Corpus, plan: PairPlan, pairs: Int64) -> Padded:
    """The pairs of these numbers, int64 (batch,)."""
    vocabulary, tokens = corpus.vocabulary, corpus.tokens
    cls, sep = np.array([vocabulary.cls]), np.array([vocabulary.sep])
    sequences = []
    for pair in pairs:
        parts = [cls, tokens[plan.first_start[pair] : plan.first_end[pair]], sep]
        if not plan.alone[pair]:
            parts += [tokens[plan.second_start[pair] : plan.second_end[pair]], sep]
        sequences.append(np.concatenate(parts))
    seconds = plan.first_end[pairs] - plan.first_start[pairs] + 2
    return pad(sequences, seconds, pad=vocabulary.pad)


def pad_segments(corpus: Corpus, starts: Int64, ends: Int64) -> Padded:
    """Single segments: those tokens of the corpus from `starts` (batch,) up to `ends` (batch,)."""
    cls, sep = np.array([corpus.vocabulary.cls]), np.array([corpus.vocabulary.sep])
    spans = zip(starts, ends, strict=True)
    sequences = [np.concatenate([cls, corpus.tokens[start:end], sep]) for start, end in spans]
    return pad(sequences, pad=corpus.vocabulary.pad)


@dataclass(frozen=True, eq=False)
class MaskedTokens:
    """What the model sees, and what it must find."""

    ids: Int64  # int64 (B, S)
    masked_rows: Int64  # int64 (M,): of the chosen tokens, in the flat input, ascending
    masked_ids: Int64  # int64 (M,): the ids that were there


def mask_tokens(
    ids: Int64,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    *,
    whole: NDArray[np.bool_] | None = None,
) -> MaskedTokens:
    """Mask each row of a padded batch by itself, ids int64 (B, S), but those that stay whole.

    `whole` is bool (B,).
    """
    # The smallest of independent draws are a uniform sample; infinity is never chosen.
    keys = rng.standard_exponential(ids.shape)  # float64 (B, S)
    keys[vocabulary.special[ids]] = np.inf
    if whole is not None:
        keys[whole] = np.inf
    maskable = np.isfinite(keys).sum(axis=1)  # int64 (B,)
    wanted = np.rint(RATE * maskable).astype(np.int64)
    wanted = np.minimum(np.maximum(wanted, 1), maskable)  # a row of special tokens has none
    order = keys.argsort(axis=1)
    rows, ranks = np.nonzero(np.arange(ids.shape[1]) < wanted[:, np.newaxis])
    positions = np.sort(rows * ids.shape[1] + order[rows, ranks])  # int64 (M,)
    originals = ids.reshape(-1)[positions]
    masked = ids.copy()
    masked.reshape(-1)[positions] = _replacements(originals, vocabulary, rng)
    return MaskedTokens(masked, positions, originals)


def _replacements(originals: Int64, vocabulary: Vocabulary, rng: np.random.Generator) -> Int64:
    """What the chosen tokens become: int64 (M,) -> int64 (M,)."""
    draw = rng.random(originals.size)
    pieces = rng.choice(vocabulary.ordinary, originals.size)
    replaced = np.where(draw < MASK + RANDOM, pieces, originals)
    return np.where(draw < MASK, vocabulary.mask, replaced)


def mask_pairs(
    rows: Padded,
    not_next: Int64,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    *,
    unmasked: float = 0.0,
) -> PairBatch:
    """Hide tokens of each pair, but leave the share `unmasked` of those with a B as they are.

    Rows without a B are always masked, or they would teach nothing.
    """
    whole = None
    if unmasked:
        whole = (rng.random(len(rows.ids)) < unmasked) & (not_next != NO_PAIR)
    masked = mask_tokens(rows.ids, vocabulary, rng, whole=whole)
    return PairBatch(**vars(rows) | vars(masked), not_next=not_next)


def mask_segments(
    rows: Padded, vocabulary: Vocabulary, rngs: Iterable[np.random.Generator]
) -> PairBatch:
    """Hide tokens of each segment, with a generator for each, so that rows do not sway others."""
    ids, positions, originals = rows.ids.copy(), [], []
    for row, (length, rng) in enumerate(zip(rows.lengths, rngs, strict=True)):
        masked = mask_tokens(rows.ids[row : row + 1, :length], vocabulary, rng)
        ids[row, :length] = masked.ids
        positions.append(row * ids.shape[1] + masked.masked_rows)
        originals.append(masked.masked_ids)
    masked = MaskedTokens(ids, np.concatenate(positions), np.concatenate(originals))
    no_pair = np.full_like(rows.lengths, NO_PAIR)
    return PairBatch(**vars(rows) | vars(masked), not_next=no_pair)
