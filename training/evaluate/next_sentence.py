"""Held-out documents in, how often the model tells whether a segment follows another out.

Half of the pairs are true followers. The others come from another document (random, as in
Devlin et al. 2018, section 3.1), where the topic gives them away, or from elsewhere in the same
document (hard), where only the thread of the text does; short pairs are two single sentences, as
people would send them.
"""

import numpy as np
from numpy.typing import NDArray

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
from training.evaluate.mistakes import Mistakes
from training.evaluate.pairs import hard_pairs, random_pairs
from training.model import BertForPreTraining
from training.padded import pad_pairs
from training.pairs import PairPlan
from training.stored_corpus import Corpus

PAIRS = 800  # of each kind
SEQUENCE_TOKENS = 128


def measure_next_sentence(
    model: BertForPreTraining,
    corpus: Corpus,
    *,
    pairs: int = PAIRS,
    seed: int = SEED,
    mistakes: Mistakes | None = None,
) -> list[Figure]:
    """Accuracy on `pairs` pairs of each kind; the wrong ones are added to `mistakes`."""
    seq = min(SEQUENCE_TOKENS, model.config.max_position_embeddings)
    plans = {
        "random": random_pairs(corpus, count=pairs, sequence_tokens=seq, seed=seed),
        "hard": hard_pairs(corpus, count=pairs, sequence_tokens=seq, seed=seed),
        "short": random_pairs(corpus, count=pairs, sequence_tokens=seq, single=True, seed=seed),
    }
    figures = []
    for kind, plan in plans.items():
        key, name = f"nsp.{kind}", f"next sentence, {kind} pairs"
        wrong = np.flatnonzero(says_next(model, corpus, plan) != plan.is_next)
        accuracy = shares(len(plan) - len(wrong), len(plan))
        figures.append(Figure(key, name, accuracy, "share", len(plan), "pairs"))
        if mistakes:
            mistakes.add_pairs(key, corpus, plan, wrong)
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
