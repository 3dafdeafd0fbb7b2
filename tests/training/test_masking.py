"""Which tokens are hidden, and how."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.small_corpus import corpus_of, vocabulary
from training.errors import TrainingError
from training.masking import MaskedTokens, Masking, content_weights

WORDS = vocabulary()  # of ids from 10 on
PIECES = vocabulary(continuations=range(3000, 4000))
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
    ids.reshape(-1)[masked.positions] = masked.originals
    return ids


def test_four_fifths_become_mask_and_a_tenth_another_piece() -> None:
    masked = Masking().apply_rows(text(400, 100), WORDS, rng())
    now = masked.ids.reshape(-1)[masked.positions]
    count = now.size
    assert count == 400 * 15
    assert off((now == WORDS.mask).mean(), 0.8, count) < SIGMAS
    assert off((now == masked.originals).mean(), 0.1, count) < SIGMAS  # 1 in 3990 by chance


@pytest.mark.parametrize(("mask", "random"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.5, 0.25)])
def test_the_shares_are_those_asked_for(mask: float, random: float) -> None:
    masked = Masking(mask=mask, random=random).apply_rows(text(200, 100), WORDS, rng())
    now = masked.ids.reshape(-1)[masked.positions]
    kept = now == masked.originals
    assert (now == WORDS.mask).mean() == pytest.approx(mask, abs=0.05)
    assert kept.mean() == pytest.approx(1 - mask - random, abs=0.05)


def test_random_pieces_are_ordinary_and_all_of_them_occur() -> None:
    masked = Masking(mask=0, random=1, rate=0.5).apply_rows(text(1000, 100), WORDS, rng())
    now = masked.ids.reshape(-1)[masked.positions]
    assert now.min() == 10
    assert np.unique(now).size > 3980  # of 3990


@pytest.mark.parametrize(
    ("tokens", "expected"), [(1, 1), (3, 1), (9, 1), (10, 2), (13, 2), (125, 19), (509, 76)]
)
def test_the_rate_is_rounded_and_at_least_one_is_chosen(tokens: int, expected: int) -> None:
    assert Masking().apply(text(tokens), WORDS, rng()).positions.size == expected


def test_special_tokens_are_never_chosen() -> None:
    ids = text(60, 40)
    ids[:, ::3] = rng().integers(0, 10, ids[:, ::3].shape)
    for whole_words in (False, True):
        masking = Masking(rate=0.99, whole_words=whole_words)
        masked = masking.apply_rows(ids, WORDS, rng())
        assert masked.originals.min() >= 10
        assert masked.originals.size == 60 * 26  # all 26 of 40, as 0.99 rounds up


def test_a_row_of_special_tokens_is_left_alone() -> None:
    ids = np.zeros((3, 7), dtype=np.int64)
    ids[1] = text(7)
    for whole_words in (False, True):
        masked = Masking(whole_words=whole_words).apply_rows(ids, WORDS, rng())
        assert (masked.positions // 7).tolist() == [1]


def test_only_chosen_tokens_change_and_the_input_does_not() -> None:
    ids = text(7, 31)
    before = ids.copy()
    masked = Masking().apply_rows(ids, WORDS, rng())
    assert (ids == before).all()
    assert (restored(masked) == before).all()
    assert (masked.ids != before).any()
    assert (np.diff(masked.positions) > 0).all()


def test_every_place_has_the_same_chance() -> None:
    masked = Masking().apply_rows(text(20_000, 20), WORDS, rng())
    places = np.bincount(masked.positions % 20, minlength=20) / 20_000
    assert max(off(share, 0.15, 20_000) for share in places) < SIGMAS


def test_padding_takes_no_part() -> None:
    ids = np.zeros((500, 50), dtype=np.int64)
    ids[:, :20] = text(500, 20)
    masked = Masking().apply_rows(ids, WORDS, rng())
    assert masked.positions.size == 500 * 3
    assert (masked.positions % 50).max() == 19


def test_one_sequence_is_masked_as_a_row() -> None:
    ids = text(33)
    one, row = Masking().apply(ids, WORDS, rng()), Masking().apply_rows(ids[None], WORDS, rng())
    assert one.ids.shape == (33,)
    assert (one.ids == row.ids[0]).all()
    assert (one.positions == row.positions).all()


def test_the_same_generator_masks_alike_and_another_does_not() -> None:
    ids = text(5, 60)
    first, same, other = (Masking().apply_rows(ids, WORDS, rng(seed)) for seed in (1, 1, 2))
    assert (first.ids == same.ids).all()
    assert (first.ids != other.ids).any()


def words_of(ids: NDArray[np.int64]) -> list[set[int]]:
    """The flat positions of each word of rows in which ids from 3000 on continue a word."""
    words: list[set[int]] = []
    for position, piece in enumerate(ids.reshape(-1).tolist()):
        opens_row = position % ids.shape[1] == 0
        follows = piece >= 3000 and not opens_row and ids.reshape(-1)[position - 1] >= 10
        if piece >= 10:
            words = [*words[:-1], words[-1] | {position}] if follows else [*words, {position}]
    return words


def test_whole_words_are_chosen_or_left_and_the_rate_is_not_exceeded() -> None:
    ids = rng(3).integers(2000, 4000, (40, 70))
    ids[:, ::9] = 3  # [SEP], which also ends a word
    masked = Masking(whole_words=True).apply_rows(ids, PIECES, rng())
    chosen = set(masked.positions.tolist())
    words = words_of(ids)
    assert max(map(len, words)) > 4
    assert all(word <= chosen or not word & chosen for word in words)
    counts = np.bincount(masked.positions // 70, minlength=40)
    assert counts.max() == 9  # of 62 in a row, round(9.3)
    assert counts.mean() > 8.8  # single pieces fill what a long word would exceed
    single = Masking().apply_rows(ids, PIECES, rng())
    assert any(0 < len(word & set(single.positions.tolist())) < len(word) for word in words)


def test_a_continuation_after_a_special_token_is_a_word_of_its_own() -> None:
    ids = np.array([2, 3001, 3, 3002, 3])  # as where a segment was cut inside a word
    masked = Masking(rate=0.99, whole_words=True).apply(ids, PIECES, rng())
    assert masked.positions.tolist() == [1, 3]


def test_whole_words_have_the_same_chance_whatever_their_length() -> None:
    ids = np.tile([100, 200, 3001, 300, 400, 3002, 500, 600], (400, 60))  # 6 words of 8 pieces
    masked = Masking(whole_words=True).apply_rows(ids, PIECES, rng())
    long = np.isin(masked.originals, [200, 400]).sum()
    short = np.isin(masked.originals, [100, 300, 500, 600]).sum()
    assert long / short == pytest.approx(2 / 4, rel=0.05)  # of each kind's words


def test_weights_choose_in_proportion_and_keep_the_rate() -> None:
    weights = np.ones(WORDS.size, dtype=np.float32)
    weights[10:20] = 0.1
    ids = np.tile(np.arange(10, 110), (3000, 1))  # 10 light tokens and 90 others
    masked = Masking(rate=0.01, weights=weights).apply_rows(ids, WORDS, rng())
    assert masked.originals.size == 3000
    assert off((masked.originals < 20).mean(), 1 / 91, 3000) < SIGMAS
    assert Masking(weights=weights).apply_rows(ids, WORDS, rng()).originals.size == 3000 * 15


def test_content_weights_fall_with_frequency() -> None:
    corpus = corpus_of([[100] * 10] * 2)  # 2,000 tokens, ids 10 to 2009 once each
    corpus.tokens[:500] = 10
    weights = content_weights(corpus, threshold=1e-3)
    assert weights.dtype == np.dtype(np.float32)
    assert weights[10] == pytest.approx((1e-3 / 0.25) ** 0.5)
    assert set(weights[600:1500]) == {1.0}  # rarer than the threshold
    assert weights[3999] == 1.0  # never seen
    Masking(weights=weights).apply(text(20), corpus.vocabulary, rng())


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 0.0},
        {"rate": 1.0},
        {"rate": float("nan")},
        {"mask": -0.1},
        {"mask": 0.95},
        {"random": -0.1},
        {"weights": np.zeros(4000, np.float32)},
        {"weights": np.full(4000, np.inf, np.float32)},
    ],
)
def test_options_that_make_no_sense_are_errors(options: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="must"):
        Masking(**options)


def test_weights_of_another_vocabulary_are_an_error() -> None:
    masking = Masking(weights=np.ones(3999, np.float32))
    with pytest.raises(TrainingError, match="not one for each id"):
        masking.apply(text(5), WORDS, rng())
