"""Held-out documents in, how often the model tells whether a segment follows another out.

Half of the pairs are true followers. The others come from another document (random, as in
Devlin et al. 2018, section 3.1), where the topic gives them away, or from elsewhere in the same
document (hard), where only the thread of the text does; short pairs are two single sentences, as
people would send them. Pairs are drawn here and there, where `training.pairs` walks through the
whole corpus.
"""

import random
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.evaluate.figures import Figure, shares
from training.evaluate.inference import (
    SEED,
    evaluating,
    finite,
    hidden_rows,
    length_batches,
    progress,
)
from training.masking import pad_pairs
from training.model import BertForPreTraining
from training.pairs import Pair, PairPlan, Sentences, Span, budget_of, fit_pairs
from training.stored_corpus import Corpus

PAIRS = 800  # of each kind
SEQUENCE_TOKENS = 128
_TRIES = 50  # for each pair that is wanted


def measure_next_sentence(
    model: BertForPreTraining, corpus: Corpus, *, pairs: int = PAIRS, seed: int = SEED
) -> list[Figure]:
    """Accuracy on `pairs` pairs of each kind."""
    seq = min(SEQUENCE_TOKENS, model.config.max_position_embeddings)
    draw = partial(draw_pairs, corpus, count=pairs, sequence_tokens=seq, seed=seed)
    plans = {"random": draw(), "hard": draw(hard=True), "short": draw(single=True)}
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
            rows = np.arange(len(pairs)) * batch.ids.shape[1]  # of each [CLS]
            logits = finite(model.nsp_logits(hidden_rows(model.bert, batch, rows)))
            answers[pairs] = logits[:, 0] > logits[:, 1]  # label 0 is IsNext
    return answers


def draw_pairs(
    corpus: Corpus,
    *,
    count: int,
    sequence_tokens: int = 128,
    hard: bool = False,
    single: bool = False,
    seed: int,
) -> PairPlan:
    """`count` pairs, every second one with a B that does not follow A.

    Args:
        corpus: where the sentences are.
        count: how many pairs.
        sequence_tokens: the most tokens of a pair, with its [CLS] and two [SEP].
        hard: a false B is from A's document, a sentence or more from A, in place of another one.
        single: each segment is one sentence, in place of as many as fit.
        seed: any seed from 0.
    """
    budget = budget_of(sequence_tokens)
    sentences = Sentences(corpus, random.Random(f"evaluation {seed}"))  # noqa: S311 (no secret)
    pairs: list[Pair] = []
    for _ in range(count * _TRIES):
        if len(pairs) == count:
            break
        drawn = _alternatives(sentences, budget, hard=hard, single=single)
        if drawn is not None:
            pairs.append(drawn[len(pairs) % 2])
    else:
        raise TrainingError("The documents of the split are too short to draw these pairs from.")
    return fit_pairs(pairs, budget, np.random.default_rng(seed))


def _alternatives(
    sentences: Sentences, budget: int, *, hard: bool, single: bool
) -> tuple[Pair, Pair] | None:
    """A random A with its true B and with a false one.

    None where there is not both, so that true and false pairs come from the same documents.
    """
    start = sentences.sentence(sentences.draw(Span(0, sentences.count)))
    document = sentences.document_of(start)
    end = start + 2 if single else sentences.reach(start, document.end, budget)
    cut = sentences.cut(start, end)
    if cut >= min(end, document.end):
        return None
    first, follower = sentences.tokens(start, cut), sentences.tokens(cut, end)
    target = 1 if single else follower.end - follower.start  # or its length would tell it apart
    if hard:
        second = _apart(sentences, document, Span(start, cut), target)
    else:
        second = sentences.elsewhere(document, target)
    if second is None:
        return None
    return Pair(first, follower, is_next=True), Pair(first, second, is_next=False)


def _apart(sentences: Sentences, document: Span, first: Span, target: int) -> Span | None:
    """Tokens of the document from a random sentence on; None where they meet the first segment."""
    start = sentences.draw(document)
    end = sentences.reach(start, document.end, target)
    if start > first.end or end < first.start:
        return sentences.tokens(start, end)
    return None
