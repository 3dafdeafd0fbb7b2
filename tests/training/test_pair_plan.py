"""The steps that planners of pairs share."""

from __future__ import annotations

import random

import numpy as np

from tests.training.small_corpus import corpus_of
from training.pair_plan import Pair, Sentences, Span, fit_pairs


def test_pairs_are_cut_as_if_token_by_token() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, (500, 2)).tolist()
    pairs = [Pair(Span(1000, 1000 + a), Span(5000, 5000 + b), is_next=True) for a, b in sizes]
    plan = fit_pairs(pairs, 47, rng)
    for row, (first, second) in enumerate(sizes):
        a, b = first, second
        while a + b > 47:
            a, b = (a - 1, b) if a > b else (a, b - 1)
        assert plan.first_end[row] - plan.first_start[row] == a
        assert plan.second_end[row] - plan.second_start[row] == b
        assert 1000 <= plan.first_start[row] < plan.first_end[row] <= 1000 + first
        assert 5000 <= plan.second_start[row] < plan.second_end[row] <= 5000 + second


def test_front_and_back_are_cut_alike() -> None:
    pairs = [Pair(Span(0, 60), Span(100, 180), is_next=False)] * 400
    plan = fit_pairs(pairs, 40, np.random.default_rng(0))
    assert abs(plan.first_start.mean() - 20) < 1  # 40 of 60 tokens go, half of them in front
    assert abs((180 - plan.second_end).mean() - 30) < 1
    assert plan.first_start.std() > 2


def test_sentences_reach_a_target_with_the_first_that_makes_it() -> None:
    sentences = Sentences(corpus_of([[4, 6, 5], [3, 3]]), random.Random(0))  # noqa: S311
    assert [sentences.reach(0, 3, target) for target in (1, 4, 5, 10, 11, 15, 99)] == [
        *(1, 1, 2, 2, 3, 3, 3)
    ]
    assert sentences.document_of(2) == (0, 3)
    assert sentences.document_of(3) == (3, 5)
    assert sentences.tokens(1, 4) == (4, 18)
    assert {sentences.cut(0, 3) for _ in range(50)} == {1, 2}
    assert sentences.cut(2, 3) == 3


def test_another_document_is_never_ones_own() -> None:
    sentences = Sentences(corpus_of([[1] * 3, [1] * 2, [1] * 4]), random.Random(0))  # noqa: S311
    starts = [sentences.elsewhere(Span(3, 5), 1).start for _ in range(300)]
    assert set(starts) == {0, 1, 2, 5, 6, 7, 8}
    assert {sentences.elsewhere(Span(0, 3), 9) for _ in range(300)} == {
        *((3, 5), (4, 5), (5, 9), (6, 9), (7, 9), (8, 9))
    }
