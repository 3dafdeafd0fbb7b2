"""A corpus and a number in, the training batch of that number out: padded, masked, shuffled.

A batch depends on nothing but the arguments of its source and its number. So a run that is resumed
at step 10,000 sees exactly the batches of a run that was never interrupted. Knows nothing of models
and devices.

THE FLOW: plan of the epoch -> shuffled -> grouped by length -> batches, shuffled -> ids -> masked.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.masking import (
    NO_PAIR,
    Padded,
    PairBatch,
    mask_pairs,
    mask_segments,
    pad_pairs,
    pad_segments,
)
from training.pairs import PairPlan, plan_pairs
from training.stored_corpus import Corpus

# Pairs are sorted by length among so many batches' worth of pairs: enough that a batch's lengths
# are all but equal, few enough that its pairs come from all over the corpus.
_WINDOW = 128
# The last position of an epoch may be made while the first of the next is asked for.
_EPOCHS_KEPT = 2
# Batches of sentences that are drawn together: enough to sort them by length.
_GROUP = 8
# What a stream of random numbers is for, so that no two streams are the same.
_ORDER, _MASKS, _SENTENCES, _DOCUMENTS = 1, 2, 3, 4


class PairBatches:
    """The endless sequence of masked batches of pairs."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        sequence_tokens: int = 128,
        batch_tokens: int,
        unmasked: float = 0.0,
        seed: int,
        **shares: float,
    ) -> None:
        """Plan the first epoch.

        Args:
            corpus: where the text is.
            sequence_tokens: the most tokens of a pair, with its [CLS] and two [SEP].
            batch_tokens: the most tokens of a batch, with its padding.
            unmasked: the share of pairs with a B that are not masked.
            seed: any seed from 0.
            shares: of kinds of pairs, `short`, `single` and `alone`, as `plan_pairs` takes them.
        """
        if batch_tokens < sequence_tokens:
            raise TrainingError(
                f"A batch of {batch_tokens} tokens cannot hold a sequence of {sequence_tokens}."
            )
        self._corpus, self._seed = corpus, seed
        self._sequence_tokens, self._batch_tokens = sequence_tokens, batch_tokens
        self._unmasked, self._shares = unmasked, shares
        self._epoch = lru_cache(_EPOCHS_KEPT)(self._plan)
        # Epochs differ by a few batches in a thousand, as their pairs are drawn anew. One that has
        # more leaves out a random few, one that has fewer repeats some: so the epoch of a batch is
        # known without planning all the epochs before it.
        self.per_epoch = len(self._epoch(0)[1])

    def batch(self, index: int) -> PairBatch:
        """The batch with this number, from 0 on without end."""
        epoch, position = divmod(index, self.per_epoch)
        plan, batches = self._epoch(epoch)
        pairs = batches[position % len(batches)]
        rng = np.random.default_rng([self._seed, _MASKS, index])
        return mask_pairs(
            pad_pairs(self._corpus, plan, pairs),
            np.where(plan.alone[pairs], NO_PAIR, ~plan.is_next[pairs]),
            self._corpus.vocabulary,
            rng,
            unmasked=self._unmasked,
        )

    def _plan(self, epoch: int) -> tuple[PairPlan, list[NDArray[np.int64]]]:
        """The pairs of an epoch, and for each batch the numbers of its pairs."""
        tokens, seed = self._sequence_tokens, self._seed
        plan = plan_pairs(
            self._corpus, sequence_tokens=tokens, seed=seed, epoch=epoch, **self._shares
        )
        rng = np.random.default_rng([seed, _ORDER, epoch])
        window = _WINDOW * (self._batch_tokens // tokens)
        return plan, group_by_length(plan.lengths, self._batch_tokens, window, rng)


def group_by_length(
    lengths: NDArray[np.int64], batch_tokens: int, window: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Shuffle sequences and put those of similar length together, each sequence once.

    Args:
        lengths: int64 (n,): the tokens of each sequence.
        batch_tokens: the most tokens of a batch, all of it padded to its longest sequence.
        window: how many of the shuffled sequences are sorted together.
        rng: shuffles the sequences, then the batches.

    Returns:
        For each batch the numbers of its sequences, int64 (batch,), in random order of batches.

    >>> lengths = np.array([5, 9, 5, 9])
    >>> batches = group_by_length(lengths, 18, 4, np.random.default_rng(0))
    >>> sorted(sorted(batch.tolist()) for batch in batches)
    [[0, 2], [1, 3]]
    """
    order = rng.permutation(len(lengths))
    batches = []
    for begin in range(0, len(order), window):
        members = order[begin : begin + window]
        members = members[np.argsort(-lengths[members], kind="stable")]  # longest first
        start = 0
        while start < len(members):
            count = batch_tokens // int(lengths[members[start]])
            batches.append(members[start : start + count])
            start += count
    return [batches[index] for index in rng.permutation(len(batches))]


class SentenceBatches:
    """The endless sequence of batches of sentences, drawn uniformly and not masked."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        sentences: int = 32,
        max_tokens: int = 64,
        min_tokens: int = 5,
        seed: int,
    ) -> None:
        """Find the sentences to draw from.

        Args:
            corpus: where the sentences are.
            sentences: how many a batch has.
            max_tokens: longer sentences are cut to this, [CLS] and [SEP] counted.
            min_tokens: shorter sentences, without [CLS] and [SEP], are left out.
            seed: any seed from 0.
        """
        long_enough = np.diff(corpus.sentences) >= min_tokens
        self._eligible = np.flatnonzero(long_enough)  # int64 (eligible sentences,)
        if self._eligible.size == 0:
            raise TrainingError(f"The corpus has no sentence of {min_tokens} tokens or more.")
        self._corpus = corpus
        self._sentences, self._longest, self._seed = sentences, max_tokens - 2, seed

    def batch(self, index: int) -> Padded:
        """The batch with this number, from 0 on without end."""
        # Some batches are drawn together and share out their sentences by length: less padding.
        group, place = divmod(index, _GROUP)
        rng = np.random.default_rng([self._seed, _SENTENCES, group])
        drawn = rng.choice(self._eligible, self._sentences * _GROUP)
        starts = self._corpus.sentences[drawn]
        ends = np.minimum(self._corpus.sentences[drawn + 1], starts + self._longest)
        by_length = np.argsort(ends - starts, kind="stable").reshape(_GROUP, self._sentences)
        chosen = by_length[rng.permutation(_GROUP)[place]]
        return pad_segments(self._corpus, starts[chosen], ends[chosen])


def masked_documents(
    corpus: Corpus, *, sequence_tokens: int, batch_tokens: int, seed: int
) -> Iterator[PairBatch]:
    """All documents, in order and once, as masked sequences of one segment, for evaluation.

    A document too long for one sequence is cut into equal parts, so that none is a stub without
    context. Each sequence is masked by itself: its masks do not depend on `batch_tokens`.
    """
    bounds = corpus.sentences[corpus.documents]  # int64 (documents + 1,): offsets in tokens
    parts = [
        np.linspace(start, end, -(-(end - start) // (sequence_tokens - 2)) + 1).astype(np.int64)
        for start, end in pairwise(bounds.tolist())
    ]
    starts = np.concatenate([part[:-1] for part in parts])
    ends = np.concatenate([part[1:] for part in parts])
    rows = max(1, batch_tokens // sequence_tokens)
    for begin in range(0, len(starts), rows):
        batch = pad_segments(corpus, starts[begin : begin + rows], ends[begin : begin + rows])
        numbers = range(begin, begin + len(batch.ids))
        rngs = (np.random.default_rng([seed, _DOCUMENTS, number]) for number in numbers)
        yield mask_segments(batch, corpus.vocabulary, rngs)
