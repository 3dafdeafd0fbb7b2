"""A corpus in, a plan of training pairs out: which stretches of its tokens form each example.

This is `create_pretraining_data.py` of google-research/bert (Devlin et al. 2018, appendix A.2),
with spans of the corpus in place of copies. Knows nothing of masks, padding or batches.

THE ALGORITHM, within a document: put sentences together until they reach the target length. Cut
the chunk after a random sentence; what lies before the cut is segment A. Half of the time segment
B is the rest of the chunk. Otherwise it starts at a random sentence of another document, and the
rest of the chunk is put back, to open the next one. A chunk of one sentence has no rest: its B is
always random, so that a little under half of all pairs are true. Then shorten the longer segment,
at random from its front or its back, until the pair fits.

Two details differ. The short target is drawn for each pair, not for each document, so that a long
document is not wholly cut into scraps. The random sentence is drawn from all sentences, not from a
document that was drawn first: else short documents would be over-represented among the random
segments, and B alone would tell the label. `single` and `alone` have no counterpart in BERT.
"""

from __future__ import annotations

import random

import numpy as np

from training.evaluation_pairs import hard_pairs, random_pairs
from training.pair_plan import Pair, PairPlan, Sentences, Span, budget_of, fit_pairs
from training.stored_corpus import Corpus

__all__ = ["PairPlan", "hard_pairs", "plan_pairs", "random_pairs"]


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
    sentences = Sentences(corpus, random.Random(f"pairs {seed} {epoch}"))  # noqa: S311 (no secret)
    draw = sentences.rng.random
    pairs: list[Pair] = []
    for number in range(sentences.documents):
        document = sentences.of_document(number)
        start = document.start
        while start < document.end:
            if alone and draw() < alone:
                pairs.append(Pair.alone(sentences.tokens(start, start + 1)))
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


def _pair(sentences: Sentences, document: Span, chunk: Span, cut: int, wanted: int) -> Pair:
    """A pair whose A is the chunk up to the cut; with a random B, both have `wanted` tokens."""
    first = sentences.tokens(chunk.start, cut)
    if cut < chunk.end and sentences.rng.random() < 0.5:
        return Pair(first, sentences.tokens(cut, chunk.end), is_next=True)
    missing = max(1, wanted - (first.end - first.start))
    return Pair(first, sentences.elsewhere(document, missing), is_next=False)
