"""Next sentences, against transformers run on one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from training.corpus import Corpus
from training.errors import TrainingError
from training.evaluate.next_sentence import measure_next_sentence, says_next
from training.evaluate.pairs import random_pairs
from training.evaluate.subject import Subject


def test_answers_are_those_of_transformers_one_pair_at_a_time(
    subject: Subject, corpus: Corpus, reference: transformers.BertForPreTraining
) -> None:
    plan = random_pairs(corpus, count=60, sequence_tokens=31, seed=3)
    known = subject.vocabulary
    differences = []
    for pair in range(60):
        first = corpus.tokens[plan.first_start[pair] : plan.first_end[pair]].tolist()
        second = corpus.tokens[plan.second_start[pair] : plan.second_end[pair]].tolist()
        ids = torch.tensor([[known.cls, *first, known.sep, *second, known.sep]])
        types = torch.tensor([[0] * (len(first) + 2) + [1] * (len(second) + 1)])
        with torch.no_grad():
            logits = reference(input_ids=ids, token_type_ids=types).seq_relationship_logits[0]
        differences.append(float(logits[0] - logits[1]))
    # Half of the pairs on each side: a random head would say the same of all of them.
    middle = np.sort(differences)[29:31].mean()
    with torch.no_grad():
        subject.model.get_parameter("cls.seq_relationship.bias")[1] += middle
    found = says_next(subject.model, corpus, plan)
    assert found.sum() == 30
    np.testing.assert_array_equal(found, np.array(differences) > middle)


@pytest.mark.parametrize("label", [0, 1])
def test_model_that_always_says_the_same_is_right_half_of_the_time(
    subject: Subject, corpus: Corpus, label: int
) -> None:
    with torch.no_grad():
        subject.model.get_parameter("cls.seq_relationship.bias")[label] = 1e4
    figures = measure_next_sentence(subject.model, corpus, pairs=40)
    assert [figure.key for figure in figures] == ["nsp.random", "nsp.hard", "nsp.short"]
    assert [figure.interval.value for figure in figures] == [0.5] * 3
    assert [figure.count for figure in figures] == [40] * 3


def test_accuracy_counts_agreement_with_the_truth(subject: Subject, corpus: Corpus) -> None:
    figures = measure_next_sentence(subject.model, corpus, pairs=40, seed=6)
    plan = random_pairs(corpus, count=40, sequence_tokens=37, seed=6)
    right = np.mean(says_next(subject.model, corpus, plan) == plan.is_next)
    assert figures[0].interval.value == pytest.approx(right)


def test_logits_that_are_no_numbers_are_refused(subject: Subject, corpus: Corpus) -> None:
    torch.nn.init.constant_(subject.model.get_parameter("cls.seq_relationship.bias"), float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        measure_next_sentence(subject.model, corpus, pairs=4)
