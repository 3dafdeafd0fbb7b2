"""Batches keep to their budget and lose no text."""

from collections import Counter
from itertools import chain

import pytest

from benchmarks.batches import FILLED, LEAST_TOKENS, full, packed

LENGTHS = (3, 9, 5, 4, 11, 6)


def own(length: int) -> int:
    return length


def test_texts_stay_in_their_order() -> None:
    batches = packed(LENGTHS, 12, own)
    assert list(chain.from_iterable(batches)) == list(LENGTHS)
    assert batches == [[3, 9], [5, 4], [11], [6]]


def test_text_above_the_budget_has_a_batch_of_its_own() -> None:
    assert packed([3, 20, 4], 10, own) == [[3], [20], [4]]


@pytest.mark.parametrize("padded", [False, True])
def test_full_batches_hold_at_most_the_budget_and_no_small_rest(padded: bool) -> None:
    batches = full(LENGTHS, 12_000, own, padded=padded)
    taken = Counter(chain.from_iterable(batches))
    stream = FILLED * max(LEAST_TOKENS, 3 * 12_000)
    assert stream <= sum(chain.from_iterable(batches)) < stream + max(LENGTHS)
    assert max(taken.values()) - min(taken.values()) <= 1
    sizes = [len(batch) * max(batch) if padded else sum(batch) for batch in batches]
    assert max(sizes) <= 12_000
    assert min(sizes) > 0.8 * max(sizes)


def test_texts_of_like_lengths_are_together() -> None:
    assert sum(len(set(batch)) for batch in full(LENGTHS, 500, own)) < 2 * LEAST_TOKENS / 500
