"""Samples, as they are measured -> figures: all rounds of one measure, its median and spread."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

UNITS = {
    "rate": "per second",
    "p50": "ms",
    "p99": "ms",
    "all answered": "ms",
    "CPU": "s per 1,000",
    "event loop": "s per 1,000",
    "cores busy": "%",
    "generator": "% of a core",
    "memory": "MB",
    "ready": "s",
    "refused": "requests",
    "p99 of alone": "×",
    "vectors": "largest difference",
    "log-probabilities": "largest difference",
    "best word": "share the same",
}
"""Every measure and its unit."""


@dataclass(frozen=True)
class Sample:
    """One measured value."""

    workload: str
    subject: str
    measure: str
    value: float


def samples(workload: str, subject: str, **values: float) -> Iterator[Sample]:
    """Yield several measures of one workload."""
    for measure, value in values.items():
        yield Sample(workload, subject, measure.replace("_", " "), value)


@dataclass(frozen=True)
class Figure:
    """One measure of one subject under one workload, round by round."""

    section: str
    workload: str
    subject: str
    measure: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest round."""
        return min(self.rounds), max(self.rounds)


class Results:
    """Collects samples in the order in which they come."""

    def __init__(self) -> None:
        self._rounds: defaultdict[tuple[str, str, str, str], list[float]] = defaultdict(list)

    def add(self, section: str, samples: Iterable[Sample]) -> None:
        """Add the samples of one round."""
        for sample in samples:
            key = (sample.workload, sample.subject, sample.measure)
            self._rounds[(section, *key)].append(sample.value)

    def figures(self) -> list[Figure]:
        """Return what was collected; a measure first sampled first comes first."""
        return [Figure(*key, tuple(rounds)) for key, rounds in self._rounds.items()]


def ratio(one: Figure, other: Figure) -> tuple[float, ...]:
    """Divide round by round: a machine that is slow for a round is slow for both.

    >>> one = Figure("s", "w", "one", "rate", (6.0, 8.0))
    >>> ratio(one, Figure("s", "w", "other", "rate", (3.0, 2.0)))
    (2.0, 4.0)
    """
    pairs = zip(one.rounds, other.rounds, strict=True)
    return tuple(first / second for first, second in pairs)
