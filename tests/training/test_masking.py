"""Rectangles of sequences; which tokens are hidden, and how."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.small_corpus import vocabulary
from training.masking import MaskedTokens, mask_tokens, pad

WORDS = vocabulary()  # of ids from 10 on
SIGMAS = 5  # a binomial share lies this far off once in two million seeds


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def text(*shape: int) -> NDArray[np.int64]:
    return rng(9).integers(10, 3000, shape)


def off(share: float, expected: float, count: int) -> float:
    """How many standard deviations a share of `count` draws is off."""
    deviation: float = (expected * (1 - expected) / count) ** 0.5
    return abs(share - expected) / deviation


def restored(masked: MaskedTokens) -> NDArray[np.int64]:
    ids = masked.ids.copy()
    ids.reshape(-1)[masked.masked_rows] = masked.masked_ids
    return ids


def test_four_fifths_become_mask_and_a_tenth_another_piece() -> None:
    masked = mask_tokens(text(400, 100), WORDS, rng())
    now = masked.ids.reshape(-1)[masked.masked_rows]
    count = now.size
    assert count == 400 * 15
    assert off((now == WORDS.mask).mean(), 0.8, count) < SIGMAS
    assert off((now == masked.masked_ids).mean(), 0.1, count) < SIGMAS  # 1 in 3990 by chance


def test_random_pieces_are_ordinary_and_all_of_them_occur() -> None:
    masked = mask_tokens(text(10_000, 100), WORDS, rng())
    now = masked.ids.reshape(-1)[masked.masked_rows]
    random = now[(now != WORDS.mask) & (now != masked.masked_ids)]
    assert random.min() == 10
    assert np.unique(random).size > 3850  # of 3990; 93 are missing by chance


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 1), (3, 1), (9, 1), (10, 2), (13, 2), (125, 19), (509, 76)]
)
def test_the_rate_is_rounded_and_at_least_one_is_chosen(tokens: int, expected: int) -> None:
    assert mask_tokens(text(1, tokens), WORDS, rng()).masked_rows.size == expected


def test_special_tokens_are_never_chosen() -> None:
    ids = text(60, 40)
    ids[:, ::3] = rng().integers(0, 10, ids[:, ::3].shape)
    masked = mask_tokens(ids, WORDS, rng())
    assert masked.masked_ids.min() >= 10
    assert masked.masked_ids.size == 60 * 4  # 15 % of the 26 words of each row


def test_a_row_of_special_tokens_is_left_alone() -> None:
    ids = np.zeros((3, 7), dtype=np.int64)
    ids[1] = text(7)
    assert (mask_tokens(ids, WORDS, rng()).masked_rows // 7).tolist() == [1]


def test_only_chosen_tokens_change_and_the_input_does_not() -> None:
    ids = text(7, 31)
    before = ids.copy()
    masked = mask_tokens(ids, WORDS, rng())
    assert (ids == before).all()
    assert (restored(masked) == before).all()
    assert (masked.ids != before).any()
    assert (np.diff(masked.masked_rows) > 0).all()


def test_every_place_has_the_same_chance() -> None:
    masked = mask_tokens(text(20_000, 20), WORDS, rng())
    places = np.bincount(masked.masked_rows % 20, minlength=20) / 20_000
    assert max(off(share, 0.15, 20_000) for share in places) < SIGMAS


def test_padding_takes_no_part() -> None:
    ids = np.zeros((500, 50), dtype=np.int64)
    ids[:, :20] = text(500, 20)
    masked = mask_tokens(ids, WORDS, rng())
    assert masked.masked_rows.size == 500 * 3
    assert (masked.masked_rows % 50).max() == 19


def test_the_same_generator_masks_alike_and_another_does_not() -> None:
    ids = text(5, 60)
    first, same, other = (mask_tokens(ids, WORDS, rng(seed)) for seed in (1, 1, 2))
    assert (first.ids == same.ids).all()
    assert (first.ids != other.ids).any()


def test_padding_goes_to_the_end() -> None:
    batch = pad([np.array([7, 8, 9]), np.array([5])], pad=2)
    assert batch.ids.tolist() == [[7, 8, 9], [5, 2, 2]]
    assert batch.lengths.tolist() == [3, 1]
    assert not batch.token_types.any()


def test_token_types_are_one_from_the_second_segment_to_the_padding() -> None:
    batch = pad([[1, 2, 3, 4], [5, 6, 7, 8, 9, 9], [3]], seconds=[3, 2, 1])
    assert batch.token_types.tolist() == [[0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 1], [0] * 6]
