"""Token ids in, the same ids with some hidden, and the answers, out.

The masked language model of Devlin et al. 2018 (section 3.1 and appendix A.1), drawn anew each
time a sequence is seen (Liu et al. 2019, section 4.1). Knows nothing of pairs, models or losses.

THE ALGORITHM: give every token that may be chosen a random key, sort by key, choose the first
15 %. Of the chosen, replace 80 % by [MASK] and 10 % by a random piece; leave 10 % as they are.

Letters: B rows of a batch, S tokens of a row, M chosen tokens of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.stored_corpus import Corpus
from training.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class MaskedTokens:
    """What the model sees, and what it must find."""

    ids: NDArray[np.int64]  # int64, of the shape of the input
    positions: NDArray[np.int64]  # int64 (M,): of the chosen tokens, in the flat input, ascending
    originals: NDArray[np.int64]  # int64 (M,): the ids that were there


@dataclass(frozen=True, eq=False)
class Masking:
    """How tokens are chosen and replaced."""

    rate: float = 0.15  # of the tokens that are not special are chosen, at least one of a row
    mask: float = 0.8  # of the chosen become [MASK]
    random: float = 0.1  # of the chosen become another piece; the rest stay
    whole_words: bool = False  # choose a word with all its pieces, or none of them
    weights: NDArray[np.float32] | None = None  # float32 (vocab,): relative chance of each id

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise TrainingError("The share of masked tokens must lie between 0 and 1.")
        if min(self.mask, self.random) < 0 or self.mask + self.random > 1:
            raise TrainingError("The shares of [MASK] and of random pieces must sum to at most 1.")
        if self.weights is not None and not (
            np.isfinite(self.weights).all() and (self.weights > 0).all()
        ):
            raise TrainingError("The weights of masking must be above 0 and finite.")

    def apply(
        self, ids: NDArray[np.int64], vocabulary: Vocabulary, rng: np.random.Generator
    ) -> MaskedTokens:
        """Mask one sequence: ids int64 (tokens,)."""
        masked = self.apply_rows(ids[np.newaxis], vocabulary, rng)
        return MaskedTokens(masked.ids[0], masked.positions, masked.originals)

    def apply_rows(
        self,
        ids: NDArray[np.int64],
        vocabulary: Vocabulary,
        rng: np.random.Generator,
        *,
        whole: NDArray[np.bool_] | None = None,
    ) -> MaskedTokens:
        """Mask each row of a padded batch by itself, ids int64 (B, S), but those that stay whole.

        `whole` is bool (B,).
        """
        keys = self._keys(ids, vocabulary, rng)  # float64 (B, S)
        if whole is not None:
            keys[whole] = np.inf
        maskable = np.isfinite(keys).sum(axis=1)  # int64 (B,)
        wanted = np.rint(self.rate * maskable).astype(np.int64)
        wanted = np.minimum(np.maximum(wanted, 1), maskable)  # a row of special tokens has none
        choose = _choose_words if self.whole_words else _choose_tokens
        positions = choose(keys, wanted, vocabulary.continuation[ids])  # int64 (M,)
        originals = ids.reshape(-1)[positions]
        masked = ids.copy()
        masked.reshape(-1)[positions] = self._replacements(originals, vocabulary, rng)
        return MaskedTokens(masked, positions, originals)

    def _keys(
        self, ids: NDArray[np.int64], vocabulary: Vocabulary, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Random keys; the smallest are chosen, and infinity never is.

        Exponential draws divided by weights: the smallest k of them are a sample without
        replacement in which every draw is proportional to the weights (Efraimidis and Spirakis
        2006), and a uniform one where all weights are equal.
        """
        keys = rng.standard_exponential(ids.shape)
        if self.weights is not None:
            if self.weights.shape != (vocabulary.size,):
                raise TrainingError("The weights of masking are not one for each id.")
            keys /= self.weights[ids]
        keys[vocabulary.special[ids]] = np.inf
        return keys

    def _replacements(
        self, originals: NDArray[np.int64], vocabulary: Vocabulary, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """What the chosen tokens become: int64 (M,) -> int64 (M,)."""
        draw = rng.random(originals.size)
        pieces = rng.choice(vocabulary.ordinary, originals.size)
        replaced = np.where(draw < self.mask + self.random, pieces, originals)
        return np.where(draw < self.mask, vocabulary.mask, replaced)


def _choose_tokens(
    keys: NDArray[np.float64], wanted: NDArray[np.int64], _: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The flat positions of the `wanted` (B,) tokens of each row with the smallest keys (B, S)."""
    order = keys.argsort(axis=1)
    rows, ranks = np.nonzero(np.arange(keys.shape[1]) < wanted[:, np.newaxis])
    return np.sort(rows * keys.shape[1] + order[rows, ranks])


def _choose_words(
    keys: NDArray[np.float64], wanted: NDArray[np.int64], continuation: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """As `_choose_tokens`, but whole words; a word that would go over `wanted` is passed over.

    A word's key is that of its first piece, so that every word has the same chance (or, with
    weights, the chance of its first piece), however many pieces it has.
    """
    B, S = keys.shape
    chosen: list[int] = []
    for row in range(B):
        maskable = np.isfinite(keys[row])
        follows = continuation[row] & maskable
        follows[1:] &= maskable[:-1]
        follows[0] = False
        starts = np.flatnonzero(maskable & ~follows)  # of the words
        bounds = [*starts.tolist(), S]
        left = int(wanted[row])
        for word in keys[row, starts].argsort().tolist():
            pieces = 1
            while bounds[word] + pieces < bounds[word + 1] and follows[bounds[word] + pieces]:
                pieces += 1
            if pieces <= left:
                first = row * S + bounds[word]
                chosen.extend(range(first, first + pieces))
                left -= pieces
            if left == 0:
                break
    return np.sort(np.array(chosen, dtype=np.int64))


def content_weights(corpus: Corpus, *, threshold: float = 1e-4) -> NDArray[np.float32]:
    """Weights that choose rare pieces more often than frequent ones: float32 (vocab,).

    min(1, sqrt(threshold / frequency)), the chance with which word2vec keeps a word (Mikolov et
    al. 2013, section 2.3): most of a text is made of a few function words, which teach little
    each time they are guessed.
    """
    counts = np.zeros(corpus.vocabulary.size, dtype=np.int64)
    for start in range(0, corpus.tokens.size, 1 << 22):  # some MB of a mapped file at a time
        counts += np.bincount(corpus.tokens[start : start + (1 << 22)], minlength=counts.size)
    frequency = np.maximum(counts, 1) / corpus.tokens.size
    return np.minimum(1, np.sqrt(threshold / frequency)).astype(np.float32)
