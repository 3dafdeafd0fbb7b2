"""Next sentences: the pairs, and the answers against transformers run on one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from tests.training.small_corpus import corpus_of, random_corpus
from tests.training.test_pairs import arrays_of, documents_at
from training.corpus import Corpus
from training.errors import TrainingError
from training.evaluate.inference import Subject
from training.evaluate.next_sentence import draw_pairs, measure_next_sentence, says_next


def test_answers_are_those_of_transformers_one_pair_at_a_time(
    subject: Subject, corpus: Corpus, reference: transformers.BertForPreTraining
) -> None:
    plan = draw_pairs(corpus, count=60, sequence_tokens=31, seed=3)
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
    plan = draw_pairs(corpus, count=40, sequence_tokens=37, seed=6)
    right = np.mean(says_next(subject.model, corpus, plan) == plan.is_next)
    assert figures[0].interval.value == pytest.approx(right)


def test_logits_that_are_no_numbers_are_refused(subject: Subject, corpus: Corpus) -> None:
    torch.nn.init.constant_(subject.model.get_parameter("cls.seq_relationship.bias"), float("nan"))
    with pytest.raises(TrainingError, match="not finite"):
        measure_next_sentence(subject.model, corpus, pairs=4)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("single", [False, True])
def test_half_of_the_pairs_are_true(hard: bool, single: bool) -> None:
    corpus = random_corpus()
    plan = draw_pairs(corpus, count=301, sequence_tokens=60, hard=hard, single=single, seed=2)
    assert (len(plan), plan.is_next.sum()) == (301, 151)
    assert plan.lengths.max() <= 60
    assert (plan.first_end > plan.first_start).all()
    assert (plan.second_end > plan.second_start).all()
    true = plan.is_next & (plan.lengths < 60)
    assert (plan.second_start == plan.first_end)[true].all()


def test_random_negatives_are_from_another_document() -> None:
    corpus = random_corpus()
    plan = draw_pairs(corpus, count=200, seed=2)
    same = documents_at(corpus, plan.first_start) == documents_at(corpus, plan.second_start)
    assert (same == plan.is_next).all()


@pytest.mark.parametrize("single", [False, True])
def test_hard_negatives_are_from_the_same_document_but_not_adjacent(single: bool) -> None:
    corpus = corpus_of([[1] * 40] * 20)  # a token is a sentence: nothing is trimmed
    plan = draw_pairs(corpus, count=400, sequence_tokens=13, single=single, hard=True, seed=2)
    same = documents_at(corpus, plan.first_start) == documents_at(corpus, plan.second_start)
    assert same.all()
    after = plan.second_start > plan.first_end
    before = plan.second_end < plan.first_start
    assert ((after | before) == ~plan.is_next).all()
    assert after.any()
    assert before.any()


def test_single_pairs_are_one_sentence_each() -> None:
    corpus = corpus_of([[5, 6, 7, 8] * 9] * 3)
    for hard in (False, True):
        plan = draw_pairs(corpus, count=100, hard=hard, single=True, seed=0)
        assert set(plan.first_end - plan.first_start) == {5, 6, 7, 8}
        assert set(plan.second_end - plan.second_start) == {5, 6, 7, 8}


def test_length_does_not_tell_true_pairs_from_false_ones() -> None:
    corpus = corpus_of([[10] * 8] * 300)  # shorter than a sequence: true pairs end early
    plan = draw_pairs(corpus, count=2000, sequence_tokens=128, seed=0)
    lengths = plan.lengths
    assert lengths[plan.is_next].mean() == pytest.approx(lengths[~plan.is_next].mean(), rel=0.15)


def test_the_same_seed_draws_the_same_pairs() -> None:
    corpus = random_corpus()
    plan = arrays_of(draw_pairs(corpus, count=50, hard=True, seed=2))
    assert plan == arrays_of(draw_pairs(corpus, count=50, hard=True, seed=2))
    assert plan != arrays_of(draw_pairs(corpus, count=50, hard=True, seed=3))


def test_documents_too_short_for_hard_pairs_are_an_error() -> None:
    with pytest.raises(TrainingError, match="too short"):
        draw_pairs(corpus_of([[5, 5], [5, 5]]), count=5, hard=True, seed=0)
