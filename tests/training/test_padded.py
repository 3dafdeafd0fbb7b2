"""Rectangles of sequences."""

import numpy as np

from training.padded import pad


def test_padding_goes_to_the_end() -> None:
    batch = pad([np.array([7, 8, 9]), np.array([5])], pad=2)
    assert batch.ids.tolist() == [[7, 8, 9], [5, 2, 2]]
    assert batch.lengths.tolist() == [3, 1]
    assert not batch.token_types.any()


def test_token_types_are_one_from_the_second_segment_to_the_padding() -> None:
    batch = pad([[1, 2, 3, 4], [5, 6, 7, 8, 9, 9], [3]], seconds=[3, 2, 1])
    assert batch.token_types.tolist() == [[0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 1], [0] * 6]
