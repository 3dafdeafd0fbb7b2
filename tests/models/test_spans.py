"""The likeliest spans, against all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spans import Span, best_spans


@given(st.integers(1, 13), st.integers(1, 17), st.integers(1, 30), st.integers(0, 1000))
def test_the_best_spans_are_those_of_all_products(
    tokens: int, longest: int, count: int, seed: int
) -> None:
    starts, ends = np.random.default_rng(seed).random((2, tokens))
    every = [
        Span(float(starts[first] * ends[last]), first, last)
        for first in range(tokens)
        for last in range(first, min(first + longest, tokens))
    ]
    expected = sorted(every, reverse=True)[:count]
    found = best_spans(starts, ends, longest, count)
    assert [span.score for span in found] == pytest.approx([span.score for span in expected])
    assert [span[1:] for span in found] == [span[1:] for span in expected]


def test_spans_of_no_probability_still_lie_in_the_text() -> None:
    nothing = np.zeros(3)
    found = best_spans(nothing, nothing, 2, 100)
    assert sorted(span[1:] for span in found) == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
