"""Held-out text in, how well the model finds masked tokens out: two measures.

*Masked tokens* is the objective of pretraining (Devlin et al. 2018, section 3.1) on documents that
it was not trained on: 15 % of the tokens are chosen, of which 80 % become [MASK], 10 % another
token and 10 % stay. *Pseudo-perplexity* is exp(-mean log P(token | all other tokens of the
sentence)), every token being masked in turn (Salazar et al. 2020, "Masked Language Model Scoring",
section 2.3). Its mean is over all tokens of all sentences, [CLS] and [SEP] apart; a sentence stands
alone, without its neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.batches import masked_documents
from training.errors import TrainingError
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
    Ids,
    evaluating,
    hidden_rows,
    length_batches,
    progress,
    score_tokens,
)
from training.masking import PairBatch, pad
from training.model import BertForPreTraining
from training.stored_corpus import Corpus
from training.vocabulary import Vocabulary

TOKENS = 150_000  # of the held-out text at most; a longer one gives an even sample of its batches
SEQUENCE_TOKENS = 128
SENTENCES = 250  # for pseudo-perplexity
MIN_TOKENS, MAX_TOKENS = 5, 64  # of a sentence: shorter ones are headings, longer ones cost much


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
        corpus, sequence_tokens=longest, batch_tokens=BATCH_TOKENS, seed=seed
    )
    return (batch for number, batch in enumerate(batches) if number % every == 0)


def _figure(key: str, name: str, interval: Interval, style: Style, count: int, of: str) -> Figure:
    return Figure(f"masked.{key}", f"masked tokens, {name}", interval, style, count, of)


def measure_pseudo_perplexity(
    model: BertForPreTraining, corpus: Corpus, *, sentences: int = SENTENCES, seed: int = SEED
) -> list[Figure]:
    """Pseudo-perplexity of `sentences` sentences drawn from `corpus`."""
    longest = min(MAX_TOKENS, model.config.max_position_embeddings - 2)
    drawn = draw_sentences(corpus, sentences, seed=seed, longest=longest)
    sums = sentence_log_probabilities(model, drawn, corpus.vocabulary)
    sizes = np.array([float(len(sentence)) for sentence in drawn])
    found = perplexity(clustered_mean(sums, sizes))
    of = f"tokens of {len(drawn)} sentences"
    count = int(sizes.sum())
    return [Figure("pseudo_perplexity", "pseudo-perplexity", found, "number", count, of)]


def draw_sentences(
    corpus: Corpus, count: int, *, seed: int, longest: int = MAX_TOKENS
) -> list[Ids]:
    """Int64 (tokens,) each: at most `count` sentences of the corpus, in its order."""
    lengths = np.diff(corpus.sentences)
    usable = np.flatnonzero((lengths >= MIN_TOKENS) & (lengths <= longest))
    if not len(usable):
        raise TrainingError(
            f"The held-out text has no sentence of {MIN_TOKENS} to {longest} tokens."
        )
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(usable, min(count, len(usable)), replace=False))
    bounds = corpus.sentences
    return [np.asarray(corpus.tokens[bounds[i] : bounds[i + 1]], np.int64) for i in chosen]


def sentence_log_probabilities(
    model: BertForPreTraining, sentences: list[Ids], vocabulary: Vocabulary
) -> NDArray[np.float64]:
    """Float64 (sentences,): the pseudo-log-likelihood of int64 (tokens,) each."""
    sizes = np.array([len(sentence) for sentence in sentences])
    # One masked copy per token: the sentence that it is of, and the token's place there.
    of = np.repeat(np.arange(len(sentences)), sizes)
    places = np.concatenate([np.arange(size) for size in sizes])
    logs = np.zeros(len(of))
    with evaluating(model):
        batches = length_batches(sizes[of] + 2)
        for copies in progress(batches, "pseudo-perplexity"):
            logs[copies] = _copies(model, sentences, vocabulary, of[copies], places[copies])
    return np.bincount(of, logs, minlength=len(sentences)).astype(np.float64)


def _copies(
    model: BertForPreTraining, sentences: list[Ids], vocabulary: Vocabulary, of: Ids, places: Ids
) -> NDArray[np.float64]:
    """Float64 (n,): log P of the token at `places` int64 (n,) of the sentences `of` int64 (n,)."""
    framed = [np.r_[vocabulary.cls, sentences[index], vocabulary.sep] for index in of]
    batch = pad(framed)
    copies = np.arange(len(of))
    wanted = batch.ids[copies, places + 1]
    batch.ids[copies, places + 1] = vocabulary.mask
    rows = copies * batch.ids.shape[1] + places + 1
    return score_tokens(model, hidden_rows(model.bert, batch, rows), wanted).log_probabilities
