"""Texts in an order -> batches of a budget of tokens, as a queue would fill them.

Knows texts only by their lengths, so that items and lists of ids are laid out alike.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import TypeVar

SEED = 7
LEAST_TOKENS, LEAST_BATCHES = 32_768, 3  # of a stream of full batches
FILLED = 0.95  # of the budgets: texts never fill a batch to the last token

T = TypeVar("T")


def packed(
    texts: Sequence[T], budget: int, length: Callable[[T], int], *, padded: bool = False
) -> list[list[T]]:
    """Lay texts into batches of at most so many tokens, in their order.

    With `padded` each text counts as the longest of its batch, and the texts come shortest first.

    >>> packed(["a", "bb", "ccc", "ddd"], 6, len), packed(["a", "bb", "ccc"], 5, len, padded=True)
    ([['a', 'bb', 'ccc'], ['ddd']], [['a', 'bb'], ['ccc']])
    """
    batches: list[list[T]] = []
    used = 0
    for text in texts:
        own = length(text)
        used = own * (len(batches[-1]) + 1) if padded and batches else used + own
        if not batches or used > budget:
            batches.append([])
            used = own
        batches[-1].append(text)
    return batches


def full(
    texts: Sequence[T], budget: int, length: Callable[[T], int], *, padded: bool = False
) -> list[list[T]]:
    """Repeat the texts until they fill some batches, with texts of like lengths together.

    So a server's queue does where many texts wait. There are no more batches than the budget needs,
    but no small one at the end either; their order is random.
    """
    left = FILLED * max(LEAST_TOKENS, LEAST_BATCHES * budget)
    endless = cycle(texts)
    stream: list[T] = []
    while left > 0:
        stream.append(next(endless))
        left -= length(stream[-1])
    stream.sort(key=length)
    fewest = len(packed(stream, budget, length, padded=padded))

    enough = lambda room: len(packed(stream, room, length, padded=padded)) <= fewest  # noqa: E731
    even = bisect_left(range(budget), True, lo=1, key=enough)
    batches = packed(stream, even, length, padded=padded)
    random.Random(SEED).shuffle(batches)  # noqa: S311 - an order, not a secret
    return batches
