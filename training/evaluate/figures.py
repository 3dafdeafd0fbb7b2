"""Hits, scores or correlations in, figures with their 95 % intervals out; knows no model."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError

Z = 1.959964  # of the normal distribution: 95 % lie within that many standard errors
Style = Literal["share", "number"]  # a share is printed in percent


@dataclass(frozen=True)
class Interval:
    """A measured value and the ends of its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    key: str  # stable, for programs: "masked.top1"
    name: str  # for people
    interval: Interval
    style: Style
    count: int  # how many things the value is over
    of: str  # what these things are


def shares(hits: int, trials: int) -> Interval:
    """Share of independent trials that hit, with Wilson's interval (Wilson 1927).

    >>> found = shares(8, 10)
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.8, 0.49, 0.943)
    """
    share = hits / trials
    middle = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    inside = share * (1 - share) / trials + Z**2 / (4 * trials**2)
    half = Z / (1 + Z**2 / trials) * math.sqrt(inside)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def clustered_mean(sums: NDArray[np.float64], sizes: NDArray[np.float64]) -> Interval:
    """Mean of values that come in clusters, such as the tokens of one text.

    Tokens of one text are not independent; the standard error is that of a ratio of two sums over
    clusters (Cochran 1977, chapter 6), which does not pretend that they were.

    Args:
        sums: float64 (clusters,), the sum of the values of each cluster.
        sizes: float64 (clusters,), how many values each cluster has.

    >>> clustered_mean(np.array([3.0, 1.0]), np.array([4.0, 4.0])).value
    0.5
    """
    clusters, total = len(sums), float(sizes.sum())
    if clusters < 2 or total == 0:
        raise TrainingError("The held-out text is too short to measure on.")
    mean = float(sums.sum()) / total
    spread = float(((sums - mean * sizes) ** 2).sum()) * clusters / (clusters - 1)
    half = Z * math.sqrt(spread) / total
    return Interval(mean, mean - half, mean + half)


def clustered_share(hits: NDArray[np.float64], sizes: NDArray[np.float64]) -> Interval:
    """As `clustered_mean` of hits, each 0 or 1, with the interval cut to what a share can be."""
    mean = clustered_mean(hits, sizes)
    return Interval(mean.value, max(0.0, mean.low), min(1.0, mean.high))


def perplexity(mean_log_probability: Interval) -> Interval:
    """exp(-mean log P), with the ends of the interval in order.

    >>> perplexity(Interval(math.log(0.5), math.log(0.25), 0.0))
    Interval(value=2.0, low=1.0, high=4.0)
    """
    mean = mean_log_probability
    # Beyond e^700 there is no float64; a model that bad is said to be that bad.
    ends = (math.exp(min(-end, 700.0)) for end in (mean.value, mean.high, mean.low))
    return Interval(*ends)


def rank_correlation(x: NDArray[np.floating], y: NDArray[np.floating]) -> Interval:
    """Spearman's correlation of two float (n,), with the interval of Bonett & Wright 2000.

    >>> rank_correlation(np.arange(10.0), np.exp(np.arange(10.0))).value
    1.0
    """
    r, n = spearman(x, y), len(x)
    if n < 4:
        raise TrainingError(f"A correlation needs at least 4 pairs, and there are {n}.")
    error = math.sqrt((1 + r**2 / 2) / (n - 3))  # of atanh(r)
    z = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r)))
    return Interval(r, math.tanh(z - Z * error), math.tanh(z + Z * error))


def spearman(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Pearson's correlation of the ranks of two float (n,).

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([9.0, 5.0, 1.0]))
    -1.0
    """
    a, b = (ranks(values) for values in (x, y))
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    if norm == 0:
        raise TrainingError("All scores are equal, so there is no correlation to measure.")
    return float(a @ b) / norm


def ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Float (n,) -> float64 (n,): ranks from 1, equal values sharing the mean of theirs.

    >>> ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    middle = last - (counts - 1) / 2
    return np.asarray(middle[group], np.float64)
