"""Logits of where an answer starts and ends in each window of a context in, the answer's text out.

Windows of one context are compared by probabilities, not by logits: a window without the answer
gives its probability to [CLS], so its spans cannot win by being sure of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.probabilities import softmax
from models.spans import best_spans

Float32 = NDArray[np.float32]
LONGEST = 30  # tokens of an answer, as in the paper's code


@dataclass(frozen=True)
class Window:
    """A part of a context."""

    example: int
    offsets: tuple[tuple[int, int], ...]
    """Of each token, the first character in the context and the one after the last."""


@dataclass(frozen=True)
class Span:
    """The likeliest answer of a window, and how likely it is that there is none."""

    score: float  # probability of start and end together
    not_here: float  # probability of [CLS] as start and end
    start: int  # character in the context
    end: int  # the character after the last


def choose(
    contexts: Sequence[str],
    places: Sequence[Window],
    logits: Sequence[Float32],
    *,
    abstain: bool,
) -> list[str]:
    """The answer to each question; "" where that is likelier and `abstain` allows it.

    Args:
        contexts: the context of each example.
        places: the windows of all examples.
        logits: float32 (1 + tokens, 2) of each window: row 0 is [CLS], columns are start and end.
        abstain: whether a question may have no answer.
    """
    spans: list[list[Span]] = [[] for _ in contexts]
    for place, values in zip(places, logits, strict=True):
        spans[place.example].append(best_span(place, values))
    answers = []
    for context, found in zip(contexts, spans, strict=True):
        best = max(found, key=lambda span: span.score)
        silent = abstain and min(span.not_here for span in found) > best.score
        answers.append("" if silent else context[best.start : best.end])
    return answers


def best_span(place: Window, logits: Float32) -> Span:
    """The likeliest span of a window, of at most `LONGEST` tokens.

    >>> window = Window(0, ((0, 2), (3, 5), (6, 9)))
    >>> found = best_span(window, np.array([[0, 0], [1, 9], [8, 1], [2, 7]], np.float32))
    >>> found.start, found.end
    (3, 9)
    """
    starts, ends = softmax(logits.T)  # float64 (1 + tokens,) each
    (found,) = best_spans(starts[1:], ends[1:], longest=LONGEST, count=1)
    return Span(
        score=found.score,
        not_here=float(starts[0] * ends[0]),
        start=place.offsets[found.first][0],
        end=place.offsets[found.last][1],
    )
