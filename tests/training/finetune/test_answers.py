"""Windows of random logits, against a search written out in loops."""

from __future__ import annotations

import numpy as np
import pytest

from training.finetune.answers import LONGEST, Window, best_answer, choose

CONTEXT = " ".join(chr(0x4E00 + place) for place in range(50))  # fifty different tokens


def a_window(tokens: int, example: int = 0, start: int = 0) -> Window:
    return Window(example, tuple((start + 2 * i, start + 2 * i + 1) for i in range(tokens)))


@pytest.mark.parametrize("tokens", [1, 2, 7, 50])
def test_best_span_is_the_one_that_a_plain_search_finds(tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    for _ in range(20):
        logits = (4 * rng.standard_normal((1 + tokens, 2))).astype(np.float32)
        probability = np.exp(logits) / np.exp(logits).sum(axis=0)
        wanted = max(
            (probability[1 + i, 0] * probability[1 + j, 1], i, j)
            for i in range(tokens)
            for j in range(i, min(tokens, i + LONGEST))
        )
        found, not_here = best_answer(CONTEXT, a_window(tokens), logits)
        assert found.text == CONTEXT[2 * wanted[1] : 2 * wanted[2] + 1]
        assert found.score == pytest.approx(wanted[0], rel=1e-4)
        assert not_here == pytest.approx(probability[0].prod(), rel=1e-4)


@pytest.mark.parametrize(("tokens", "whole"), [(LONGEST, True), (LONGEST + 1, False)])
def test_answers_are_as_long_as_they_may_be_and_no_longer(tokens: int, *, whole: bool) -> None:
    logits = np.zeros((51, 2), np.float32)
    logits[3, 0] = logits[3 + tokens - 1, 1] = 20
    found, _ = best_answer(CONTEXT, a_window(50), logits)
    assert (found.text == CONTEXT[2 * 2 : 2 * (tokens + 1) + 1]) == whole


def test_window_that_says_not_here_loses_against_one_that_has_the_answer() -> None:
    elsewhere = np.array([[20, 20], [15, 15], [0, 0]], np.float32)  # high logits, still: not here
    here = np.array([[0, 0], [0, 0], [5, 5]], np.float32)
    places = [a_window(2), a_window(2, start=4)]
    assert choose(["a b c d"], places, [elsewhere, here], abstain=False) == ["d"]
    assert choose(["a b c d"], places, [elsewhere, here], abstain=True) == ["d"]
    assert choose(["a b c d"], places[:1], [elsewhere], abstain=False) == ["a"]
    assert choose(["a b c d"], places[:1], [elsewhere], abstain=True) == [""]


def test_answers_go_to_their_own_questions() -> None:
    first = np.array([[0, 0], [9, 9], [0, 0]], np.float32)
    places = [a_window(2, example=1), a_window(2, example=0), a_window(2, example=1, start=4)]
    found = choose(
        ["a b", "c d e f"], places, [first, first[[0, 2, 1]], first / np.float32(9)], abstain=False
    )
    assert found == ["b", "c"]
