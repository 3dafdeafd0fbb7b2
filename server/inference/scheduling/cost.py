"""Timed runs of a session in, the cost of any batch out: what the queue weighs company by.

    cost of a run = run + token * its tokens + area * its texts * the longest text's length squared
                    + vocabulary, where a mask is among them

Products cost by token; attention is padded to the longest text and costs by area; every run costs
something before its first token, and the first mask as much as reading the vocabulary's weights.
Which rows are read comes on top, but an item pays for its own in any company, so nothing is decided
by them. Knows nothing of queues or threads.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from server.inference.runtime.packing import Encoding, Item, MaskScores, Result, SentenceVector

TIME_LIMIT_S = 0.5
ROUNDS = 5  # the quickest run of a shape counts: other programs only ever add to its time
LEAST_SHAPES = 6  # for four coefficients
LEAST_FIT = 0.95  # share of the variance that is explained, or the fit is not used
UNKNOWN_RUN = 12  # what a run costs by itself, and its first mask, in tokens' worth: a guess


@dataclass(frozen=True)
class CostModel:
    """Cost of a packed run; in microseconds where it was fitted, but only ratios matter.

    >>> str(CostModel(run=1612.4, token=93.31, area=0.12528, vocabulary=1500))
    '1612 a run, 93.3 a token, 0.125 a pair of positions, 1500 for the vocabulary'
    """

    run: float
    """Of any run, however small."""
    token: float
    area: float
    """Of one pair of positions that attention computes, padding included."""
    vocabulary: float
    """Of a run with masks, however few."""

    def __str__(self) -> str:
        return (
            f"{self.run:.0f} a run, {self.token:.3g} a token, {self.area:.3g} a pair of positions,"
            f" {self.vocabulary:.0f} for the vocabulary"
        )

    def cost(self, texts: int, longest: int, tokens: int, *, masked: bool) -> float:
        """Cost of one run."""
        area = self.area * texts * longest * longest
        return self.run + self.token * tokens + area + self.vocabulary * masked

    def overhead(self, *, masked: bool) -> float:
        """How many tokens cost as much as a run does before its first one.

        >>> CostModel(run=1600, token=100, area=0.1, vocabulary=1500).overhead(masked=True)
        31.0
        """
        return (self.run + self.vocabulary * masked) / self.token


def by_operations(hidden_size: int) -> CostModel:
    """The cost in tokens' worth of products, counted instead of measured.

    A token costs `24·H²` operations a layer in products, a pair of positions `4·H` in attention.
    """
    return CostModel(UNKNOWN_RUN, 1.0, 1 / (6 * hidden_size), UNKNOWN_RUN)


@dataclass(frozen=True)
class Shape:
    """Texts of one length."""

    texts: int
    length: int
    """In tokens."""
    masked: bool = False

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Texts, the longest one's tokens, those of all and their masks.

        >>> Shape(8, 16, masked=True).size
        (8, 16, 128, 8)
        """
        return self.texts, self.length, self.texts * self.length, self.texts * self.masked


# The cheap ones first: a big model runs as many as there is time for.
SHAPES = (
    Shape(1, 8),
    Shape(1, 8, masked=True),
    Shape(1, 32),
    Shape(8, 8),
    Shape(8, 8, masked=True),
    Shape(1, 128),
    Shape(16, 16),
    Shape(1, 256),
)


def fitted(timings: Sequence[tuple[Shape, float]]) -> CostModel | None:
    """The model of least relative squares of timed shapes, in the unit of the times.

    None where they are too few, or do not bear the model out.
    """
    if len(timings) < LEAST_SHAPES:
        return None
    texts, lengths, masked = np.array([astuple(shape) for shape, _ in timings], float).T
    spent = np.array([spent for _, spent in timings])
    terms = np.stack([np.ones_like(spent), texts * lengths, texts * lengths**2, masked], axis=1)
    found = _not_negative(terms / spent[:, None])
    error = terms @ found - spent
    explained = 1 - float(error @ error) / float(((spent - spent.mean()) ** 2).sum())
    model = CostModel(*found.tolist())
    return model if explained >= LEAST_FIT and model.token > 0 and model.area > 0 else None


def _not_negative(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of the columns, none below 0, whose sum is nearest to 1 in all rows: (n, m) -> (m,).

    With four columns it is quick enough to try every set of them.
    """
    columns = range(terms.shape[1])
    least, best = np.inf, np.zeros(len(columns))
    for count in range(1, len(columns) + 1):
        for kept in map(list, combinations(columns, count)):
            factors, *_ = np.linalg.lstsq(terms[:, kept], np.ones(len(terms)), rcond=None)
            error = float(((terms[:, kept] @ factors - 1) ** 2).sum())
            if (factors >= 0).all() and error < least:
                least, best = error, np.zeros(len(columns))
                best[kept] = factors
    return best


def timed_runs(
    run: Callable[[Sequence[Item]], list[Result]],
    shapes: Sequence[Shape],
    clock: Callable[[], float] = time.perf_counter,
    limit_s: float = TIME_LIMIT_S,
) -> list[tuple[Shape, float]]:
    """Run the shapes for about `limit_s` and return what each cost, in microseconds.

    `clock` counts seconds; a thread's own CPU time, where a run stays on its thread, is blind to
    what else the machine is doing.
    """
    ends = time.perf_counter() + limit_s
    best: dict[Shape, float] = {}
    for _ in range(ROUNDS):
        for shape in _in_time(shapes, ends):
            items = _items(shape)
            begun = clock()
            run(items)
            spent = (clock() - begun) * 1e6
            best[shape] = min(spent, best.get(shape, spent))
    return list(best.items())


def _in_time(shapes: Sequence[Shape], ends: float) -> Iterator[Shape]:
    """The shapes, as long as the next is likely to be done when the time is up."""
    begun, done = time.perf_counter(), 0
    for shape in shapes:
        now = time.perf_counter()
        tokens = shape.texts * shape.length
        if done and now + (now - begun) / done * tokens > ends:
            return
        yield shape
        done += tokens


def _items(shape: Shape) -> list[Item]:
    encoding = Encoding(np.ones(shape.length, np.int64), np.zeros(shape.length, np.int64))
    output = MaskScores((1,), 5) if shape.masked else SentenceVector("mean")
    return [Item(encoding, output)] * shape.texts
