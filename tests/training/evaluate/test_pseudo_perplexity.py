"""Pseudo-perplexity, against transformers with one mask at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers
from torch.nn import functional

from training.corpus import Corpus
from training.errors import TrainingError
from training.evaluate.pseudo_perplexity import (
    MIN_TOKENS,
    draw_sentences,
    measure_pseudo_perplexity,
    sentence_log_probabilities,
)
from training.evaluate.subject import Subject

TOLERANCE = 1e-3  # of the sum over a sentence


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
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


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
