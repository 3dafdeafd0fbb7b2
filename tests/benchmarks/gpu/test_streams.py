"""Batches and turns of the GPU benchmark."""

import numpy as np
import pytest

from benchmarks.gpu.streams import Turns, batches, padded_batches, rounds, tokens_of
from server.inference.runtime.packing import Encoding, Item, SentenceVector

LENGTHS = (3, 9, 5, 4, 11, 6)


def items() -> list[Item]:
    return [
        Item(
            Encoding(np.zeros(length, np.int64), np.zeros(length, np.int64)), SentenceVector("mean")
        )
        for length in LENGTHS
    ]


def test_turns_end_with_a_whole_round() -> None:
    turns = Turns(3, seconds=0)
    assert list(turns) == [0, 1, 2]
    assert turns.taken == 3


def test_batches_hold_at_most_the_budget_and_the_whole_stream() -> None:
    laid = batches(items(), budget=20, tokens=100)
    assert 95 <= tokens_of(laid) < 95 + max(LENGTHS)
    assert all(sum(len(item.encoding) for item in batch) <= 20 for batch in laid)


def test_no_batch_is_a_small_rest() -> None:
    for lay_out in (batches, padded_batches):
        sizes = [tokens_of([batch]) for batch in lay_out(items(), budget=60, tokens=130)]
        assert len(sizes) == 3
        assert min(sizes) > max(sizes) - 2 * max(LENGTHS)


def test_padded_batches_count_padding() -> None:
    laid = padded_batches(items(), budget=20, tokens=100)
    assert tokens_of(laid) == tokens_of(batches(items(), budget=20, tokens=100))
    assert all(len(batch) * max(len(item.encoding) for item in batch) <= 20 for batch in laid)


def test_rounds_count_all_threads() -> None:
    done = rounds([1, 2], lambda _: None, workers=2, seconds=0.01)
    assert done.count >= 1
    assert done.count == int(done.count)


def test_error_of_a_run_ends_the_measurement() -> None:
    def fail(_: int) -> None:
        raise ValueError("no such kernel")

    with pytest.raises(ValueError, match="no such kernel"):
        rounds([1], fail, workers=2, seconds=0.01)
