"""Logits of where an answer starts and ends in each window of a context in, the answer's text out.

Windows of one context are compared by probabilities, not by logits: a window without the answer
gives its probability to [CLS], so its spans cannot win by being sure of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class Found(NamedTuple):
    """An answer, and how likely it is to start and end there."""

    text: str
    score: float


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
    best = [Found("", 0.0)] * len(contexts)
    nothing = np.ones(len(contexts))  # how likely it is that all windows lack the answer
    for place, values in zip(places, logits, strict=True):
        found, not_here = best_answer(contexts[place.example], place, values)
        best[place.example] = max(best[place.example], found, key=lambda found: found.score)
        nothing[place.example] = min(nothing[place.example], not_here)
    return [
        "" if abstain and not_here > found.score else found.text
        for found, not_here in zip(best, nothing, strict=True)
    ]


def best_answer(context: str, place: Window, logits: Float32) -> tuple[Found, float]:
    """The likeliest answer of a window, of at most `LONGEST` tokens, and P(it is not here).

    >>> window = Window(0, ((0, 2), (3, 5), (6, 9)))
    >>> logits = np.array([[0, 0], [1, 9], [8, 1], [2, 7]], np.float32)
    >>> best_answer("ab cd efg", window, logits)[0].text
    'cd efg'
    """
    starts, ends = softmax(logits.T)  # float64 (1 + tokens,) each
    (span,) = best_spans(starts[1:], ends[1:], longest=LONGEST, count=1)
    text = context[place.offsets[span.first][0] : place.offsets[span.last][1]]
    return Found(text, span.score), float(starts[0] * ends[0])
