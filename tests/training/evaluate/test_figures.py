"""Intervals and correlations, against their definitions and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from training.errors import TrainingError
from training.evaluate.figures import (
    Interval,
    clustered_mean,
    clustered_share,
    perplexity,
    rank_correlation,
    shares,
)


def test_correlation_is_that_of_the_ranks_with_ties_on_both_sides() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 12, 301).astype(np.float64)
    y = np.round(x + rng.normal(0, 4, 301))
    ranks = stats.rankdata(x), stats.rankdata(y)
    assert rank_correlation(x, y).value == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-12)


def test_correlation_of_equal_scores_is_refused() -> None:
    with pytest.raises(TrainingError, match="All scores are equal"):
        rank_correlation(np.ones(5), np.arange(5.0))


def test_correlation_of_three_pairs_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least 4 pairs"):
        rank_correlation(np.arange(3.0), np.arange(3.0))


@pytest.mark.parametrize(("hits", "trials"), [(0, 9), (9, 9), (53, 100), (1, 700)])
def test_interval_of_a_share_is_wilsons(hits: int, trials: int) -> None:
    found = shares(hits, trials)
    assert found.value == hits / trials
    for end in (found.low, found.high):  # Wilson 1927: where the share is 1.96 errors away
        error = np.sqrt(end * (1 - end) / trials)
        assert abs(found.value - end) == pytest.approx(1.959964 * error, abs=1e-6)


def coverage_and_width(*, shared: float) -> tuple[float, float]:
    """How often the interval holds the true mean, for texts whose tokens share a `shared` part."""
    rng = np.random.default_rng(3)
    held, widths = 0, []
    for _ in range(400):
        sizes = rng.integers(5, 40, 60).astype(np.float64)
        own = rng.normal(0, 1, 60) * np.sqrt(sizes)
        found = clustered_mean(own + sizes * rng.normal(0, shared, 60), sizes)
        held += found.low <= 0 <= found.high
        widths.append(found.high - found.low)
    return held / 400, float(np.mean(widths))


def test_interval_over_clusters_holds_the_truth_19_times_in_20() -> None:
    alone, narrow = coverage_and_width(shared=0.0)
    together, wide = coverage_and_width(shared=1.0)
    assert 0.92 <= alone <= 0.98
    assert 0.92 <= together <= 0.98
    assert wide > 3 * narrow, "tokens of one text that agree say less"


def test_interval_over_clusters_of_one_size_is_that_of_their_means() -> None:
    means = np.array([0.3, 0.9, 0.4, 0.1])
    found = clustered_mean(means * 7, np.full(4, 7.0))
    assert found.value == pytest.approx(means.mean())
    half = stats.norm.ppf(0.975) * stats.sem(means)
    assert found.high - found.value == pytest.approx(half, rel=1e-6)
    assert found.value - found.low == pytest.approx(half, rel=1e-6)


def test_mean_over_clusters_weighs_every_token_alike() -> None:
    found = clustered_mean(np.array([1.0, 0.0]), np.array([1.0, 9.0]))
    assert found.value == pytest.approx(0.1)


def test_interval_of_a_clustered_share_stays_between_0_and_1() -> None:
    found = clustered_share(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("sizes", [[4.0], [0.0, 0.0]])
def test_too_few_clusters_are_refused(sizes: list[float]) -> None:
    with pytest.raises(TrainingError, match="too short"):
        clustered_mean(np.zeros(len(sizes)), np.array(sizes))


def test_perplexity_of_a_hopeless_model_is_still_a_number() -> None:
    assert math.isfinite(perplexity(Interval(-9e9, -1e10, -1e9)).high)
