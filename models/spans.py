"""Scores of where an answer starts and ends in, the likeliest spans of tokens out.

Knows nothing of texts. Letters: T tokens, M most tokens of a span.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


class Span(NamedTuple):
    """Tokens `first` to `last`, and how likely they are."""

    score: float
    first: int
    last: int


def best_spans(starts: Float64, ends: Float64, longest: int, count: int) -> list[Span]:
    """The `count` likeliest spans of at most `longest` tokens, best first.

    P(span) = P(start) · P(end). Only T × M products are formed, not T × T.

    Args:
        starts: float64 (T,), probability that the answer starts at each token.
        ends: float64 (T,), probability that it ends there.
        longest: most tokens of a span, M.
        count: spans wanted; fewer come where there are not as many.

    >>> best_spans(np.array([0.1, 0.9, 0.0]), np.array([0.8, 0.0, 0.2]), 2, 1)
    [Span(score=0.18000000000000002, first=1, last=2)]
    """
    longest = min(longest, len(starts))
    # Column m of token t's row is for the span from t to t + m; beyond the text's end is none.
    padded = np.concatenate([ends, np.full(longest - 1, -1.0)])
    reached = np.lib.stride_tricks.sliding_window_view(padded, longest)  # (T, M)
    flat = np.where(reached < 0, -1.0, starts[:, None] * reached).ravel()
    count = min(count, len(flat))
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    return [
        Span(float(flat[place]), int(place // longest), int(place // longest + place % longest))
        for place in best
        if flat[place] >= 0
    ]
