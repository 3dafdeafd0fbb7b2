"""A corpus in, a plan of training pairs out: which stretches of its tokens form each example.

This is `create_pretraining_data.py` of google-research/bert (Devlin et al. 2018, appendix A.2),
with spans of the corpus in place of copies. Knows nothing of masks, padding or batches.

THE ALGORITHM, within a document: put sentences together until they reach the target length. Cut
the chunk after a random sentence; what lies before the cut is segment A. Half of the time segment
B is the rest of the chunk. Otherwise it starts at a random sentence of another document, and the
rest of the chunk is put back, to open the next one. A chunk of one sentence has no rest: its B is
always random, so that a little under half of all pairs are true. Then shorten the longer segment,
at random from its front or its back, until the pair fits.

A document without an order (a list of glosses) gives no pairs: each of its sentences stands alone,
and none is anybody's random B, since it would tell the label: it never follows anything.

Two details differ. The short target is drawn for each pair, not for each document, so that a long
document is not wholly cut into scraps. The random sentence is drawn from all sentences, not from a
document that was drawn first: else short documents would be over-represented among the random
segments, and B alone would tell the label. `single` and `alone` have no counterpart in BERT.
"""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.stored_corpus import Corpus

SPECIAL_TOKENS = 3  # [CLS] A [SEP] B [SEP]; a segment alone has one fewer


class Span(NamedTuple):
    """A stretch of sentences or of tokens."""

    start: int
    end: int  # one after the last


class Pair(NamedTuple):
    """Two spans of tokens; the second is empty where the first stands alone."""

    first: Span
    second: Span
    is_next: bool


@dataclass(frozen=True, eq=False)
class PairPlan:
    """Pairs of segments, as spans of the corpus's tokens; an end is one after the last token."""

    first_start: NDArray[np.int64]  # int64 (pairs,)
    first_end: NDArray[np.int64]  # int64 (pairs,)
    second_start: NDArray[np.int64]  # int64 (pairs,)
    second_end: NDArray[np.int64]  # int64 (pairs,)
    is_next: NDArray[np.bool_]  # bool (pairs,): B follows A in the corpus

    def __len__(self) -> int:
        return len(self.is_next)

    @cached_property
    def alone(self) -> NDArray[np.bool_]:
        """Whether A stands without a B: bool (pairs,)."""
        return np.equal(self.second_end, self.second_start)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The tokens of each pair with its [CLS] and its one or two [SEP]: int64 (pairs,)."""
        first, second = self.first_end - self.first_start, self.second_end - self.second_start
        return first + second + SPECIAL_TOKENS - self.alone


def plan_pairs(
    corpus: Corpus,
    *,
    sequence_tokens: int = 128,
    short: float = 0.1,
    single: float = 0.0,
    alone: float = 0.0,
    seed: int,
    epoch: int,
) -> PairPlan:
    """The pairs of one pass over the corpus, in its order; the same for the same arguments.

    Args:
        corpus: where the sentences are.
        sequence_tokens: the most tokens of a pair, with its [CLS] and two [SEP].
        short: the share of pairs that get a random target below that, so that the model also
            sees short inputs.
        single: the share of pairs that are one sentence each, as people would type them; half of
            them with the true follower.
        alone: the share of sequences that are one sentence without a B, as people ask for a
            masked word.
        seed: any seed from 0.
        epoch: the number of the pass; each differs.

    Raises:
        TrainingError: the corpus has one document, so that there is no other to draw from.
    """
    budget = budget_of(sequence_tokens)
    rng = random.Random(f"pairs {seed} {epoch}")  # noqa: S311 (no secret)
    sentences = Sentences(corpus, rng, lists=True)
    draw = rng.random
    pairs: list[Pair] = []
    for number in range(sentences.documents):
        document = sentences.of_document(number)
        if not sentences.has_order(number):
            pairs += (sentences.alone(start) for start in range(*document))
            continue
        start = document.start
        while start < document.end:
            if alone and draw() < alone:
                pairs.append(sentences.alone(start))
                start += 1
                continue
            if draw() < single and start + 1 < document.end:
                chunk, cut, wanted = Span(start, start + 2), start + 1, 0
            else:
                wanted = 2 + int(draw() * (budget - 1)) if draw() < short else budget
                chunk = Span(start, sentences.reach(start, document.end, wanted))
                cut = sentences.cut(*chunk)
            pair = _pair(sentences, document, chunk, cut, wanted)
            pairs.append(pair)
            start = chunk.end if pair.is_next else cut
    return fit_pairs(pairs, budget, np.random.default_rng([seed, epoch]))


def budget_of(sequence_tokens: int) -> int:
    """The tokens that both segments may have together.

    Raises:
        TrainingError: they may not have one each.
    """
    if sequence_tokens < SPECIAL_TOKENS + 2:
        raise TrainingError(f"A sequence of {sequence_tokens} tokens cannot hold a pair.")
    return sequence_tokens - SPECIAL_TOKENS


class Sentences:
    """The offsets of a corpus as lists, which a loop reads much faster than arrays."""

    def __init__(self, corpus: Corpus, rng: random.Random, *, lists: bool = False) -> None:
        """Read the offsets; `lists` allows that no document at all has an order.

        Raises:
            TrainingError: there are not two documents to make pairs of.
        """
        self.rng = rng
        self.documents = len(corpus.documents) - 1
        self._documents: list[int] = corpus.documents.tolist()
        self._tokens: list[int] = corpus.sentences.tolist()
        unordered = corpus.unordered
        if unordered is None:
            unordered = np.zeros(self.documents, np.bool_)
        self._unordered: list[bool] = unordered.tolist()
        # Of the documents with an order: where they start among all sentences, and among theirs.
        ordered = np.flatnonzero(~unordered)  # int64 (ordered documents,)
        if len(ordered) == 1 or not (len(ordered) or lists):
            found = "one document" if len(ordered) else "no document"
            more = " with an order" if any(self._unordered) else ""
            raise TrainingError(f"The split has {found}{more}; pairs need two or more.")
        sizes = np.diff(corpus.documents)[ordered]
        self._starts: list[int] = corpus.documents[ordered].tolist()
        self._before: list[int] = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        self.count = self._before[-1]  # sentences with an order

    def has_order(self, document: int) -> bool:
        """Whether each sentence of a document follows the one before it."""
        return not self._unordered[document]

    def sentence(self, place: int) -> int:
        """The number of the sentence with this place, from 0, among those with an order."""
        document = bisect_right(self._before, place) - 1
        return self._starts[document] + place - self._before[document]

    def alone(self, sentence: int) -> Pair:
        """A sentence without a B."""
        segment = self.tokens(sentence, sentence + 1)
        return Pair(segment, Span(segment.end, segment.end), is_next=False)

    def of_document(self, document: int) -> Span:
        """The sentences of a document."""
        return Span(self._documents[document], self._documents[document + 1])

    def document_of(self, sentence: int) -> Span:
        """The sentences of the document that a sentence is in."""
        return self.of_document(bisect_right(self._documents, sentence) - 1)

    def tokens(self, start: int, end: int) -> Span:
        """The tokens of the sentences from `start` up to `end`."""
        return Span(self._tokens[start], self._tokens[end])

    def draw(self, span: Span) -> int:
        """A number from the span, each with the same chance."""
        return span.start + int(self.rng.random() * (span.end - span.start))

    def reach(self, start: int, end: int, target: int) -> int:
        """Where the sentences from `start` first come to `target` tokens, but `end` at most."""
        goal = self._tokens[start] + target
        return min(bisect_left(self._tokens, goal, start + 1, end + 1), end)

    def cut(self, start: int, end: int) -> int:
        """A random place to cut sentences in two parts; `end` where there is only one sentence."""
        return self.draw(Span(start + 1, end)) if start + 1 < end else end

    def elsewhere(self, document: Span, target: int) -> Span:
        """Tokens of another document with an order, from the start of a random sentence on.

        As many sentences as come to `target` tokens, but one at least, and not beyond the end of
        their document.
        """
        own = document.end - document.start
        place = self.draw(Span(0, self.count - own))
        before = self._before[bisect_right(self._starts, document.start) - 1]
        place += own if place >= before else 0  # all sentences but the document's
        sentence = self.sentence(place)
        end = self.document_of(sentence).end
        return self.tokens(sentence, self.reach(sentence, end, target))


def _pair(sentences: Sentences, document: Span, chunk: Span, cut: int, wanted: int) -> Pair:
    """A pair whose A is the chunk up to the cut; with a random B, both have `wanted` tokens."""
    first = sentences.tokens(chunk.start, cut)
    if cut < chunk.end and sentences.rng.random() < 0.5:
        return Pair(first, sentences.tokens(cut, chunk.end), is_next=True)
    missing = max(1, wanted - (first.end - first.start))
    return Pair(first, sentences.elsewhere(document, missing), is_next=False)


def fit_pairs(pairs: Sequence[Pair], budget: int, rng: np.random.Generator) -> PairPlan:
    """The pairs, each cut down to `budget` tokens.

    As if one token after the other was taken from the longer segment (from B where both are of
    one length), from its front or its back with equal chance; only drawn at once.
    """
    spans = np.array([(*first, *second) for first, second, _ in pairs], dtype=np.int64)
    first_start, first_end, second_start, second_end = spans.reshape(-1, 4).T
    first, second = first_end - first_start, second_end - second_start
    excess = np.maximum(first + second - budget, 0)
    off_longer = np.minimum(excess, np.abs(first - second))
    off_both = excess - off_longer
    off_first = np.where(first > second, off_longer, 0) + off_both // 2
    off_second = np.where(first > second, 0, off_longer) + (off_both + 1) // 2
    front_first, front_second = rng.binomial(off_first, 0.5), rng.binomial(off_second, 0.5)
    return PairPlan(
        first_start=first_start + front_first,
        first_end=first_end - (off_first - front_first),
        second_start=second_start + front_second,
        second_end=second_end - (off_second - front_second),
        is_next=np.array([pair.is_next for pair in pairs], dtype=np.bool_),
    )
