"""A corpus in, pairs that judge next-sentence prediction out: half of them true, half of them not.

A false segment B comes from another document (`random_pairs`), where a change of topic gives it
away, or from A's own (`hard_pairs`), where only coherence does. Pairs are drawn here and there,
where `training.pairs` walks through the whole corpus. Knows nothing of models.
"""

import random
from collections.abc import Callable

import numpy as np

from training.errors import TrainingError
from training.pairs import Pair, PairPlan, Sentences, Span, budget_of, fit_pairs
from training.stored_corpus import Corpus

_TRIES = 50  # for each pair that is wanted

# (sentences, document, A, target) -> a false B in tokens, or None where this A has none
FalseSegment = Callable[[Sentences, Span, Span, int], Span | None]


def random_pairs(
    corpus: Corpus, *, count: int, sequence_tokens: int = 128, single: bool = False, seed: int
) -> PairPlan:
    """`count` pairs, every second one with a B from another document.

    Args:
        corpus: where the sentences are.
        count: how many pairs.
        sequence_tokens: the most tokens of a pair, with its [CLS] and two [SEP].
        single: each segment is one sentence, in place of as many as fit.
        seed: any seed from 0.
    """
    return _drawn(corpus, _from_elsewhere, count, sequence_tokens, single=single, seed=seed)


def hard_pairs(
    corpus: Corpus, *, count: int, sequence_tokens: int = 128, single: bool = False, seed: int
) -> PairPlan:
    """As `random_pairs`, but false segments are from A's document, a sentence or more from A."""
    return _drawn(corpus, _from_document, count, sequence_tokens, single=single, seed=seed)


def _drawn(
    corpus: Corpus,
    false_segment: FalseSegment,
    count: int,
    sequence_tokens: int,
    *,
    single: bool,
    seed: int,
) -> PairPlan:
    budget = budget_of(sequence_tokens)
    sentences = Sentences(corpus, random.Random(f"evaluation {seed}"))  # noqa: S311 (no secret)
    pairs: list[Pair] = []
    for _ in range(count * _TRIES):
        if len(pairs) == count:
            break
        drawn = _alternatives(sentences, false_segment, budget, single=single)
        if drawn is not None:
            pairs.append(drawn[len(pairs) % 2])
    else:
        raise TrainingError("The documents of the split are too short to draw these pairs from.")
    return fit_pairs(pairs, budget, np.random.default_rng(seed))


def _alternatives(
    sentences: Sentences, false_segment: FalseSegment, budget: int, *, single: bool
) -> tuple[Pair, Pair] | None:
    """A random A with its true B and with a false one.

    None where there is not both, so that true and false pairs come from the same documents.
    """
    start = sentences.draw(Span(0, sentences.count))
    document = sentences.document_of(start)
    end = start + 2 if single else sentences.reach(start, document.end, budget)
    cut = sentences.cut(start, end)
    if cut >= min(end, document.end):
        return None
    first, follower = sentences.tokens(start, cut), sentences.tokens(cut, end)
    target = 1 if single else follower.end - follower.start  # or its length would tell it apart
    second = false_segment(sentences, document, Span(start, cut), target)
    if second is None:
        return None
    return Pair(first, follower, is_next=True), Pair(first, second, is_next=False)


def _from_elsewhere(sentences: Sentences, document: Span, _: Span, target: int) -> Span:
    return sentences.elsewhere(document, target)


def _from_document(sentences: Sentences, document: Span, first: Span, target: int) -> Span | None:
    start = sentences.draw(document)
    end = sentences.reach(start, document.end, target)
    if start > first.end or end < first.start:
        return sentences.tokens(start, end)
    return None  # overlaps A or is next to it
