"""How often each example is drawn in, what a measure makes of the draw out, of many draws at once.

A measure is a function of weights: with 1 for every example it gives the value that is reported,
with the numbers of a bootstrap's draws one value for each of them, by the same lines of code.

Letters: R draws, N examples, K classes. Knows nothing of models or tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Weighted = Callable[[Float64], Float64]
"""Float64 (R, N), how often each example is drawn -> float64 (R,) or (R, K)."""


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of what examples have several of or one, such as words that are right.

    >>> share = Mean(np.array([1.0, 0.0]), np.array([1.0, 3.0]))
    >>> share(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
    [0.25, 1.0]
    """

    sums: Float64  # (N,)
    sizes: Float64  # (N,)

    def __call__(self, weights: Float64) -> Float64:
        """Float64 (R, N) -> (R,)."""
        return ratio(weights @ self.sums, weights @ self.sizes, empty=0.0)


@dataclass(frozen=True, eq=False)
class Counts:
    """Of every class how often it is right, named, and both, in each example."""

    agreed: Any  # sparse float64 (N, K)
    right: Any
    found: Any

    @classmethod
    def of(
        cls,
        agreed: Sequence[tuple[int, int]],
        right: Sequence[tuple[int, int]],
        found: Sequence[tuple[int, int]],
        *,
        examples: int,
        classes: int,
    ) -> Self:
        """Of (example, class), each as often as it occurs."""
        shape = (examples, classes)
        return cls(*(_matrix(places, shape) for places in (agreed, right, found)))

    @classmethod
    def of_labels(
        cls, places: Int64, right: Int64, found: Int64, *, examples: int, classes: int
    ) -> Self:
        """Of single labels: int64 (labels,) each, -1 in `found` where nothing is named.

        `places` are the numbers of their examples.
        """
        pairs = [
            list(zip(places[chosen].tolist(), labels[chosen].tolist(), strict=True))
            for chosen, labels in (
                ((right == found) & (right >= 0), right),
                (right >= 0, right),
                (found >= 0, found),
            )
        ]
        return cls.of(*pairs, examples=examples, classes=classes)

    def drawn(self, weights: Float64) -> tuple[Float64, Float64, Float64]:
        """Agreed, right and found by class: float64 (R, K) each."""
        agreed, right, found = (
            np.asarray((counts.T @ weights.T).T) for counts in (self.agreed, self.right, self.found)
        )
        return agreed, right, found

    def f1(self, weights: Float64) -> Float64:
        """By class, float64 (R, K); NaN where a class neither is right nor is named."""
        agreed, right, found = self.drawn(weights)
        return ratio(2 * agreed, right + found, empty=np.nan)

    def precision(self, weights: Float64) -> Float64:
        """By class, float64 (R, K); NaN where it is never named."""
        agreed, _, found = self.drawn(weights)
        return ratio(agreed, found, empty=np.nan)

    def recall(self, weights: Float64) -> Float64:
        """By class, float64 (R, K); NaN where it is never right."""
        agreed, right, _ = self.drawn(weights)
        return ratio(agreed, right, empty=np.nan)

    def macro_f1(self, weights: Float64) -> Float64:
        """The mean over the classes that occur on either side, float64 (R,); 1 where none does."""
        each = self.f1(weights)
        occur = ~np.isnan(each)
        return ratio(np.where(occur, each, 0.0).sum(axis=1), occur.sum(axis=1), empty=1.0)

    def micro_f1(self, weights: Float64) -> Float64:
        """Over all classes together, float64 (R,); 1 where there is nothing to find or named."""
        agreed, right, found = (part.sum(axis=1) for part in self.drawn(weights))
        return ratio(2 * agreed, right + found, empty=1.0)

    def micro_precision(self, weights: Float64) -> Float64:
        """As `micro_f1`; where nothing is named it is 1 if there is nothing to find, else 0."""
        agreed, right, found = (part.sum(axis=1) for part in self.drawn(weights))
        return np.where(found > 0, ratio(agreed, found, empty=0.0), right == 0)

    def micro_recall(self, weights: Float64) -> Float64:
        """As `micro_f1`; where there is nothing to find it is 1 if nothing is named, else 0."""
        agreed, right, found = (part.sum(axis=1) for part in self.drawn(weights))
        return np.where(right > 0, ratio(agreed, right, empty=0.0), found == 0)


@dataclass(frozen=True, eq=False)
class Pearson:
    """The correlation of two numbers of each example; 0 where one of them never varies.

    >>> found = Pearson(np.array([1.0, 2.0, 4.0]), np.array([3.0, 5.0, 9.0]))
    >>> found(np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]])).round(6).tolist()
    [1.0, 0.0]
    """

    one: Float64  # (N,)
    other: Float64  # (N,)

    def __call__(self, weights: Float64) -> Float64:
        """Float64 (R, N) -> (R,)."""
        one, other = (np.broadcast_to(side, weights.shape) for side in (self.one, self.other))
        return _correlation(one, other, weights)


@dataclass(frozen=True, eq=False)
class Spearman:
    """The correlation of the ranks of two numbers of each example; equal ones share a rank."""

    one: Float64  # (N,)
    other: Float64  # (N,)

    def __call__(self, weights: Float64) -> Float64:
        """Float64 (R, N) -> (R,)."""
        return _correlation(_ranks(self.one, weights), _ranks(self.other, weights), weights)


def ratio(above: Float64, below: Any, *, empty: float) -> Float64:
    """A quotient, and `empty` where it would be by 0.

    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]), empty=1.0).tolist()
    [0.5, 1.0]
    """
    divides = below > 0
    return np.where(divides, above / np.where(divides, below, 1.0), empty)


def _matrix(places: Sequence[tuple[int, int]], shape: tuple[int, int]) -> Any:
    rows, columns = np.array(places, np.int64).reshape(-1, 2).T
    return sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape).tocsr()


def _ranks(values: Float64, weights: Float64) -> Float64:
    """The rank of each example among all that were drawn, float64 (R, N)."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)  # (R, groups)
    before = np.cumsum(sizes, axis=1) - sizes
    ranks: Float64 = (before + (sizes + 1) / 2)[:, group]
    return ranks


def _correlation(one: Float64, other: Float64, weights: Float64) -> Float64:
    """Of float64 (R, N) each -> (R,)."""
    one, own = _centred(one, weights)
    other, others = _centred(other, weights)
    varies = (own > 0) & (others > 0)
    shared = (weights * one * other).sum(axis=1)
    return np.where(varies, shared / np.sqrt(np.where(varies, own * others, 1.0)), 0.0)


def _centred(values: Float64, weights: Float64) -> tuple[Float64, Float64]:
    """Numbers without their mean, float64 (R, N), and the sum of their squares, float64 (R,)."""
    mean = (weights * values).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    centred = values - mean
    squares = (weights * centred**2).sum(axis=1)
    # Of equal numbers the differences from their mean are what rounding leaves.
    rounding = 1e-24 * (weights * values**2).sum(axis=1)
    return centred, np.where(squares > rounding, squares, 0.0)
