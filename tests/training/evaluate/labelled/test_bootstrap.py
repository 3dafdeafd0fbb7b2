"""The bootstrap's draws, and its intervals against those that statistics knows in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluate.figures import clustered_share, shares
from training.evaluate.labelled import bootstrap
from training.evaluate.labelled.bootstrap import DRAWS, draws, limits, resampled
from training.evaluate.labelled.weighted import Mean

NEAR = 0.006  # 2,000 draws leave the ends of an interval that far from those of endless many


def test_as_many_documents_are_drawn_as_there_are_and_each_whole() -> None:
    documents = np.array([2, 0, 0, 1, 2, 3, 0])
    weights = np.concatenate(list(draws(documents)))
    assert weights.shape == (DRAWS, 7)
    first = [np.flatnonzero(documents == number)[0] for number in range(4)]
    assert (weights[:, first].sum(axis=1) == 4).all()
    assert (weights == weights[:, first][:, documents]).all()
    assert (weights == np.concatenate(list(draws(documents)))).all(), "the same each time"


def test_draws_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = np.arange(9)
    whole = np.concatenate(list(draws(documents)))
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_ONCE", 100)
    parts = list(draws(documents))
    assert len(parts) > 1
    assert (np.concatenate(parts) == whole).all()


def test_an_interval_of_rows_is_nearly_wilsons() -> None:
    hits = (np.random.default_rng(2).random(400) < 0.8).astype(np.float64)
    (values,) = resampled([Mean(hits, np.ones(400))], np.arange(400))
    low, high = limits(values)
    wilson = shares(int(hits.sum()), 400)
    assert low == pytest.approx(wilson.low, abs=NEAR)
    assert high == pytest.approx(wilson.high, abs=NEAR)


def test_an_interval_of_documents_is_nearly_that_of_a_ratio_of_sums_and_wider_than_of_rows() -> (
    None
):
    rng = np.random.default_rng(3)
    documents = np.repeat(np.arange(150), 6)
    ease = rng.beta(2, 1, 150)[documents]  # the rows of a document are alike
    hits = (rng.random(900) < ease).astype(np.float64)
    mean = Mean(hits, np.ones(900))
    low, high = limits(resampled([mean], documents)[0])
    found, asked = (np.bincount(documents, counted) for counted in (hits, np.ones(900)))
    known = clustered_share(found.astype(np.float64), asked.astype(np.float64))
    assert low == pytest.approx(known.low, abs=NEAR)
    assert high == pytest.approx(known.high, abs=NEAR)
    narrow = limits(resampled([mean], np.arange(900))[0])
    assert high - low > 1.3 * (narrow[1] - narrow[0])


def test_draws_without_a_value_are_passed_over() -> None:
    values = np.array([[0.1, np.nan], [np.nan, np.nan], [0.3, np.nan]])
    low, high = limits(values)
    assert 0.1 <= low[0] < high[0] <= 0.3
    assert np.isnan([low[1], high[1]]).all()
