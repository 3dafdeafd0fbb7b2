"""Held-out documents in, how often the model finds the masked tokens out.

The objective of pretraining (Devlin et al. 2018, section 3.1) on text that it was not trained on:
15 % of the tokens are chosen, of which 80 % become [MASK], 10 % another token and 10 % stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.batches import masked_documents
from training.evaluate.figures import (
    Figure,
    Interval,
    Style,
    clustered_mean,
    clustered_share,
    perplexity,
)
from training.evaluate.inference import (
    BATCH_TOKENS,
    SEED,
    evaluating,
    hidden_rows,
    progress,
    score_tokens,
)
from training.model import BertForPreTraining
from training.padded import PairBatch
from training.stored_corpus import Corpus

TOKENS = 150_000  # of the held-out text at most; a longer one gives an even sample of its batches
SEQUENCE_TOKENS = 128


@dataclass(frozen=True, eq=False)
class Guesses:
    """What became of every chosen token, in the order of the text."""

    ranks: NDArray[np.int64]  # (n,), 0 where the true token is the model's first choice
    log_probabilities: NDArray[np.float64]  # (n,), of the true token
    sequences: NDArray[np.int64]  # (n,), which sequence the token is of
    hidden: NDArray[np.bool_]  # (n,), the token was replaced by [MASK]
    sizes: NDArray[np.float64]  # (sequences,), tokens of each sequence, [CLS] and [SEP] apart

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Float64 (n,) -> float64 (sequences,), the sum of the values of each sequence."""
        sums = np.bincount(self.sequences, values, minlength=len(self.sizes))
        return sums.astype(np.float64)


def measure_masked(
    model: BertForPreTraining, corpus: Corpus, *, tokens: int = TOKENS, seed: int = SEED
) -> list[Figure]:
    """Accuracy and perplexity at the chosen tokens of about `tokens` tokens of `corpus`."""
    found = guess_masked(model, corpus, tokens=tokens, seed=seed)
    every = np.ones(len(found.ranks))
    hidden = found.hidden.astype(np.float64)
    rows: list[tuple[str, str, int, NDArray[np.float64]]] = [
        ("top1", "top 1", 1, every),
        ("top5", "top 5", 5, every),
        ("mask_only_top1", "top 1, [MASK] only", 1, hidden),
        ("mask_only_top5", "top 5, [MASK] only", 5, hidden),
    ]
    figures = []
    for key, name, top, among in rows:
        hits = found.sums((found.ranks < top) * among)
        share = clustered_share(hits, found.sums(among))
        figures.append(_figure(key, name, share, "share", int(among.sum()), "tokens"))
    chosen = found.sums(every)
    likelihood = clustered_mean(found.sums(found.log_probabilities), chosen)
    share = clustered_share(chosen, found.sizes)
    total = int(found.sizes.sum())
    return [
        *figures,
        _figure("perplexity", "perplexity", perplexity(likelihood), "number", len(every), "tokens"),
        _figure("share", "share of the tokens chosen", share, "share", total, "tokens"),
    ]


def guess_masked(model: BertForPreTraining, corpus: Corpus, *, tokens: int, seed: int) -> Guesses:
    """Run the model over the masked sequences."""
    ranks, logs, sequences, hidden, sizes = [], [], [], [], []
    longest = min(SEQUENCE_TOKENS, model.config.max_position_embeddings)
    with evaluating(model):
        first = 0
        for batch in progress(_sample(corpus, longest, tokens=tokens, seed=seed), "masked tokens"):
            scores = score_tokens(
                model, hidden_rows(model.bert, batch, batch.masked_rows), batch.masked_ids
            )
            ranks.append(scores.ranks)
            logs.append(scores.log_probabilities)
            sequences.append(first + batch.masked_rows // batch.ids.shape[1])
            hidden.append(batch.ids.reshape(-1)[batch.masked_rows] == corpus.vocabulary.mask)
            sizes.append(batch.lengths - 2.0)
            first += len(batch.lengths)
    return Guesses(*(np.concatenate(part) for part in (ranks, logs, sequences, hidden, sizes)))


def _sample(corpus: Corpus, longest: int, *, tokens: int, seed: int) -> Iterator[PairBatch]:
    """Every n-th batch of the documents, so that they hold about `tokens` tokens together."""
    every = max(1, round(len(corpus.tokens) / tokens))
    batches = masked_documents(
        corpus,
        sequence_tokens=longest,
        batch_tokens=BATCH_TOKENS,
        seed=seed,
    )
    return (batch for number, batch in enumerate(batches) if number % every == 0)


def _figure(key: str, name: str, interval: Interval, style: Style, count: int, of: str) -> Figure:
    return Figure(f"masked.{key}", f"masked tokens, {name}", interval, style, count, of)
