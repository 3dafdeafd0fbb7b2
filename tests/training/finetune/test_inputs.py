"""Ragged inputs, padded and ordered."""

from __future__ import annotations

import numpy as np

from training.finetune.inputs import collate, prediction_batches, training_batches
from training.finetune.pieces import Input


def an_input(tokens: int, second: int, rows: list[int], targets: list[int]) -> Input:
    ids = np.arange(10, 10 + tokens)
    return Input(ids, second, np.array(rows, np.int64), np.array(targets, np.int64))


def test_batch_is_padded_and_its_rows_are_counted_over_the_rectangle() -> None:
    batch = collate([an_input(3, 3, [1], [7]), an_input(5, 2, [4, 0], [8, 9])])
    assert batch.ids.tolist() == [[10, 11, 12, 0, 0], [10, 11, 12, 13, 14]]
    assert batch.token_types.tolist() == [[0] * 5, [0, 0, 1, 1, 1]]
    assert batch.lengths.tolist() == [3, 5]
    assert batch.rows.tolist() == [1, 9, 5]
    assert batch.counts.tolist() == [1, 2]
    assert batch.targets.tolist() == [7, 8, 9]


def test_epoch_holds_every_input_once_in_batches_of_about_one_length() -> None:
    lengths = np.random.default_rng(1).integers(3, 120, 1000)
    batches = training_batches(lengths, 7, np.random.default_rng(2))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert max(len(batch) for batch in batches) == 7
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert 1 - lengths.sum() / padded < 0.06  # random batches waste 0.43


def test_order_of_batches_says_nothing_of_length_and_depends_on_the_seed_alone() -> None:
    lengths = np.random.default_rng(1).integers(3, 120, 1000)
    first, again, other = (
        training_batches(lengths, 7, np.random.default_rng(seed)) for seed in (2, 2, 3)
    )
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_predictions_start_with_the_longest() -> None:
    batches = list(prediction_batches(np.array([3, 9, 5, 9, 4]), 2))
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 4], [0]]
