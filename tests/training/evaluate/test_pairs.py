"""Pairs that judge next-sentence prediction."""

from __future__ import annotations

import pytest

from tests.training.small_corpus import corpus_of, random_corpus
from tests.training.test_pairs import arrays_of, documents_at
from training.errors import TrainingError
from training.evaluate.pairs import hard_pairs, random_pairs


@pytest.mark.parametrize("draw", [random_pairs, hard_pairs])
@pytest.mark.parametrize("single", [False, True])
def test_half_of_the_pairs_are_true(draw: type, single: bool) -> None:
    corpus = random_corpus()
    plan = draw(corpus, count=301, sequence_tokens=60, single=single, seed=2)
    assert (len(plan), plan.is_next.sum()) == (301, 151)
    assert plan.lengths.max() <= 60
    assert (plan.first_end > plan.first_start).all()
    assert (plan.second_end > plan.second_start).all()
    true = plan.is_next & (plan.lengths < 60)
    assert (plan.second_start == plan.first_end)[true].all()


def test_random_negatives_are_from_another_document() -> None:
    corpus = random_corpus()
    plan = random_pairs(corpus, count=200, seed=2)
    same = documents_at(corpus, plan.first_start) == documents_at(corpus, plan.second_start)
    assert (same == plan.is_next).all()


@pytest.mark.parametrize("single", [False, True])
def test_hard_negatives_are_from_the_same_document_but_not_adjacent(single: bool) -> None:
    corpus = corpus_of([[1] * 40] * 20)  # a token is a sentence: nothing is trimmed
    plan = hard_pairs(corpus, count=400, sequence_tokens=13, single=single, seed=2)
    same = documents_at(corpus, plan.first_start) == documents_at(corpus, plan.second_start)
    assert same.all()
    after = plan.second_start > plan.first_end
    before = plan.second_end < plan.first_start
    assert ((after | before) == ~plan.is_next).all()
    assert after.any()
    assert before.any()


def test_single_pairs_are_one_sentence_each() -> None:
    corpus = corpus_of([[5, 6, 7, 8] * 9] * 3)
    for draw in (random_pairs, hard_pairs):
        plan = draw(corpus, count=100, single=True, seed=0)
        assert set(plan.first_end - plan.first_start) == {5, 6, 7, 8}
        assert set(plan.second_end - plan.second_start) == {5, 6, 7, 8}


def test_length_does_not_tell_true_pairs_from_false_ones() -> None:
    corpus = corpus_of([[10] * 8] * 300)  # shorter than a sequence: true pairs end early
    plan = random_pairs(corpus, count=2000, sequence_tokens=128, seed=0)
    lengths = plan.lengths
    assert lengths[plan.is_next].mean() == pytest.approx(lengths[~plan.is_next].mean(), rel=0.15)


def test_the_same_seed_draws_the_same_pairs() -> None:
    corpus = random_corpus()
    plan = arrays_of(hard_pairs(corpus, count=50, seed=2))
    assert plan == arrays_of(hard_pairs(corpus, count=50, seed=2))
    assert plan != arrays_of(hard_pairs(corpus, count=50, seed=3))


def test_documents_too_short_for_hard_pairs_are_an_error() -> None:
    with pytest.raises(TrainingError, match="too short"):
        hard_pairs(corpus_of([[5, 5], [5, 5]]), count=5, seed=0)
