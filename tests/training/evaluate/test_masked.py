"""Masked tokens and pseudo-perplexity, against transformers run on one sequence at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from training.batches import masked_documents
from training.corpus import Corpus
from training.errors import TrainingError
from training.evaluate.inference import Subject
from training.evaluate.masked import (
    MIN_TOKENS,
    draw_sentences,
    guess_masked,
    measure_masked,
    measure_pseudo_perplexity,
    sentence_log_probabilities,
)

SEED = 11
TOLERANCE = 1e-4  # of a log-probability
SENTENCE_TOLERANCE = 1e-3  # of the sum over a sentence


def test_guesses_are_those_of_transformers_one_sequence_at_a_time(
    subject: Subject,
    corpus: Corpus,
    reference: transformers.BertForPreTraining,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.evaluate.masked.BATCH_TOKENS", 260)  # several batches
    found = guess_masked(subject.model, corpus, tokens=10**9, seed=SEED)
    ranks, logs, hidden, sequences = [], [], [], []
    longest, first = subject.model.config.max_position_embeddings, 0
    for batch in masked_documents(corpus, sequence_tokens=longest, batch_tokens=500, seed=SEED):
        places = divmod(batch.masked_rows, batch.ids.shape[1])
        for b, s, wanted in zip(*places, batch.masked_ids, strict=True):
            ids = torch.from_numpy(batch.ids[b, : batch.lengths[b]])
            with torch.no_grad():
                logits = reference(input_ids=ids[None]).prediction_logits[0, s]
            ranks.append(int((logits > logits[wanted]).sum()))
            logs.append(float(functional.log_softmax(logits, dim=0)[wanted]))
            hidden.append(bool(ids[s] == subject.vocabulary.mask))
            sequences.append(first + b)
        first += len(batch.ids)
    assert len(ranks) > 100
    assert found.ranks.tolist() == ranks
    np.testing.assert_allclose(found.log_probabilities, logs, atol=TOLERANCE)
    assert found.hidden.tolist() == hidden
    assert found.sequences.tolist() == sequences
    assert found.sizes.sum() == len(corpus.tokens)


def test_figures_sum_up_the_guesses(subject: Subject, corpus: Corpus) -> None:
    found = guess_masked(subject.model, corpus, tokens=10**9, seed=SEED)
    figures = {f.key: f for f in measure_masked(subject.model, corpus, tokens=10**9, seed=SEED)}
    assert 0 < found.hidden.sum() < len(found.hidden)
    wanted = {
        "masked.top1": (found.ranks == 0).mean(),
        "masked.top5": (found.ranks < 5).mean(),
        "masked.mask_only_top1": (found.ranks[found.hidden] == 0).mean(),
        "masked.mask_only_top5": (found.ranks[found.hidden] < 5).mean(),
        "masked.perplexity": math.exp(-found.log_probabilities.mean()),
        "masked.share": len(found.ranks) / len(corpus.tokens),
    }
    assert {key: figure.interval.value for key, figure in figures.items()} == pytest.approx(wanted)
    assert figures["masked.mask_only_top1"].count == found.hidden.sum()
    for figure in figures.values():
        assert figure.interval.low <= figure.interval.value <= figure.interval.high


def test_model_that_always_says_one_token_finds_it_and_no_other(
    subject: Subject, corpus: Corpus
) -> None:
    the = subject.tokenizer.token_to_id("the")
    with torch.no_grad():
        subject.model.get_parameter("cls.predictions.bias")[the] = 1e4
    found = guess_masked(subject.model, corpus, tokens=10**9, seed=SEED)
    chosen = np.concatenate(
        [
            batch.masked_ids
            for batch in masked_documents(corpus, sequence_tokens=37, batch_tokens=4096, seed=SEED)
        ]
    )
    assert (chosen == the).any()
    np.testing.assert_array_equal(found.ranks == 0, chosen == the)


def test_long_text_is_sampled_and_the_sample_is_always_the_same(
    subject: Subject, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.evaluate.masked.BATCH_TOKENS", 80)  # two sequences
    whole = guess_masked(subject.model, corpus, tokens=10**9, seed=SEED)
    part = guess_masked(subject.model, corpus, tokens=len(corpus.tokens) // 4, seed=SEED)
    again = guess_masked(subject.model, corpus, tokens=len(corpus.tokens) // 4, seed=SEED)
    assert 0.15 < part.sizes.sum() / whole.sizes.sum() < 0.35
    np.testing.assert_array_equal(part.ranks, again.ranks)


def test_every_token_is_masked_in_turn_as_transformers_would(
    subject: Subject, corpus: Corpus, reference: transformers.BertForPreTraining
) -> None:
    known = subject.vocabulary
    sentences = draw_sentences(corpus, 9, seed=2)
    assert len({len(sentence) for sentence in sentences}) > 3
    wanted = []
    for sentence in sentences:
        ids = torch.tensor([known.cls, *sentence, known.sep])
        total = 0.0
        for place in range(1, len(ids) - 1):
            masked = ids.clone()
            masked[place] = known.mask
            with torch.no_grad():
                logits = reference(input_ids=masked[None]).prediction_logits[0, place]
            total += float(functional.log_softmax(logits, dim=0)[ids[place]])
        wanted.append(total)
    found = sentence_log_probabilities(subject.model, sentences, known)
    np.testing.assert_allclose(found, wanted, atol=SENTENCE_TOLERANCE)


def test_perplexity_is_over_the_tokens_of_all_sentences(subject: Subject, corpus: Corpus) -> None:
    (figure,) = measure_pseudo_perplexity(subject.model, corpus, sentences=8, seed=2)
    sentences = draw_sentences(corpus, 8, seed=2, longest=35)
    total = sentence_log_probabilities(subject.model, sentences, subject.vocabulary).sum()
    tokens = sum(len(sentence) for sentence in sentences)
    assert figure.interval.value == pytest.approx(math.exp(-total / tokens))
    assert figure.count == tokens
    assert figure.interval.low < figure.interval.value < figure.interval.high


def test_model_without_a_clue_is_as_perplexed_as_the_vocabulary_is_large(
    subject: Subject, corpus: Corpus
) -> None:
    for parameter in subject.model.parameters():
        torch.nn.init.zeros_(parameter)
    (figure,) = measure_pseudo_perplexity(subject.model, corpus, sentences=5)
    assert figure.interval.value == pytest.approx(subject.model.config.vocab_size)


def test_sentences_are_whole_distinct_and_the_same_each_time(corpus: Corpus) -> None:
    bounds = list(zip(corpus.sentences[:-1], corpus.sentences[1:], strict=True))
    whole = [corpus.tokens[start:end].tolist() for start, end in bounds]
    drawn = [sentence.tolist() for sentence in draw_sentences(corpus, 20, seed=1, longest=9)]
    places = [whole.index(sentence) for sentence in drawn]
    assert len(drawn) == 20
    assert places == sorted(set(places))
    assert all(MIN_TOKENS <= len(sentence) <= 9 for sentence in drawn)
    again = [sentence.tolist() for sentence in draw_sentences(corpus, 20, seed=1, longest=9)]
    other = [sentence.tolist() for sentence in draw_sentences(corpus, 20, seed=2, longest=9)]
    assert drawn == again != other


def test_text_without_sentences_of_that_length_is_refused(corpus: Corpus) -> None:
    with pytest.raises(TrainingError, match="no sentence of 5 to 4 tokens"):
        draw_sentences(corpus, 20, seed=1, longest=4)
