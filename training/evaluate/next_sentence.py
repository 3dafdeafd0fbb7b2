"""Held-out documents in, how often the model tells whether a segment follows another out.

Half of the pairs are true followers. The others come from another document (random, as in
Devlin et al. 2018, section 3.1), where the topic gives them away, or from elsewhere in the same
document (hard), where only the thread of the text does; short pairs are two single sentences, as
people would send them. Pairs are drawn here and there, where `training.pairs` walks through the
whole corpus.
"""

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.evaluate.figures import Figure, shares
from training.evaluate.inference import (
    SEED,
    cls_rows,
    evaluating,
    finite,
    hidden_rows,
    length_batches,
    progress,
)
from training.model import BertForPreTraining
from training.padded import pad_pairs
from training.pairs import Pair, PairPlan, Sentences, Span, budget_of, fit_pairs
from training.stored_corpus import Corpus

PAIRS = 800  # of each kind
SEQUENCE_TOKENS = 128
_TRIES = 50  # for each pair that is wanted

# (sentences, document, A, target) -> a false B in tokens, or None where this A has none
FalseSegment = Callable[[Sentences, Span, Span, int], Span | None]


def measure_next_sentence(
    model: BertForPreTraining, corpus: Corpus, *, pairs: int = PAIRS, seed: int = SEED
) -> list[Figure]:
    """Accuracy on `pairs` pairs of each kind."""
    seq = min(SEQUENCE_TOKENS, model.config.max_position_embeddings)
    plans = {
        "random": random_pairs(corpus, count=pairs, sequence_tokens=seq, seed=seed),
        "hard": hard_pairs(corpus, count=pairs, sequence_tokens=seq, seed=seed),
        "short": random_pairs(corpus, count=pairs, sequence_tokens=seq, single=True, seed=seed),
    }
    figures = []
    for kind, plan in plans.items():
        right = int((says_next(model, corpus, plan) == plan.is_next).sum())
        accuracy, name = shares(right, len(plan)), f"next sentence, {kind} pairs"
        figures.append(Figure(f"nsp.{kind}", name, accuracy, "share", len(plan), "pairs"))
    return figures


def says_next(model: BertForPreTraining, corpus: Corpus, plan: PairPlan) -> NDArray[np.bool_]:
    """Bool (pairs,): the model holds B for the follower of A.

    Raises `TrainingError` when the model computes no numbers (NaN or infinity).
    """
    answers = np.zeros(len(plan), np.bool_)
    with evaluating(model):
        batches = length_batches(plan.lengths)
        for pairs in progress(batches, "next sentence"):
            batch = pad_pairs(corpus, plan, pairs)
            logits = finite(model.nsp_logits(hidden_rows(model.bert, batch, cls_rows(batch))))
            answers[pairs] = logits[:, 0] > logits[:, 1]  # label 0 is IsNext
    return answers


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
