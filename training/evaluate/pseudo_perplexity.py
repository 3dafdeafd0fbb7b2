"""Held-out sentences in, the model's pseudo-perplexity out.

exp(-mean log P(token | all other tokens of the sentence)), every token being masked in turn
(Salazar et al. 2020, "Masked Language Model Scoring", section 2.3). The mean is over all tokens
of all sentences, [CLS] and [SEP] apart; a sentence stands alone, without its neighbours.
"""

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.evaluate.figures import Figure, clustered_mean, perplexity
from training.evaluate.inference import (
    SEED,
    Ids,
    evaluating,
    hidden_rows,
    length_batches,
    progress,
    score_tokens,
)
from training.model import BertForPreTraining
from training.padded import pad
from training.stored_corpus import Corpus
from training.vocabulary import Vocabulary

SENTENCES = 250
MIN_TOKENS, MAX_TOKENS = 5, 64  # of a sentence: shorter ones are headings, longer ones cost much


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
    starts, ends = corpus.sentences[chosen], corpus.sentences[chosen + 1]
    return [
        np.asarray(corpus.tokens[start:end], np.int64)
        for start, end in zip(starts, ends, strict=True)
    ]


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
