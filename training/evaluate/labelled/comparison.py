"""Two models' outcomes on the same rows in, how far they differ and whether by chance out.

Every measure is compared by a paired bootstrap: both models are measured on the same draws of
documents, so that what is hard for both cancels out. It serves for all measures, also those that
are no mean over rows, such as F1. Where rows are independent and each is right or wrong, McNemar's
exact test (McNemar 1947) looks only at the rows that one model has right and the other has not; it
is right for however few they are, where a bootstrap is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import binomtest

from training.evaluate.figures import Interval, Style
from training.evaluate.labelled.bootstrap import limits, resampled
from training.evaluate.labelled.material import Material
from training.evaluate.labelled.outcome import Measure, Outcome
from training.evaluate.labelled.weighted import Float64, Weighted


@dataclass(frozen=True)
class Difference:
    """One measure of both models."""

    key: str
    name: str
    style: Style
    value: float
    other: float
    interval: Interval  # of value - other


@dataclass(frozen=True)
class McNemar:
    """Rows that only one of two models has right, and the chance of such a split by luck."""

    only_this: int
    only_other: int
    p: float

    @classmethod
    def of(cls, only_this: int, only_other: int) -> Self:
        """The exact test, of both sides: each such row is as likely to be the one's or the other's.

        >>> McNemar.of(8, 1).p
        0.0390625
        """
        count = only_this + only_other
        p = float(binomtest(only_this, count, 0.5).pvalue) if count else 1.0
        return cls(only_this, only_other, p)


@dataclass(frozen=True)
class Comparison:
    """A model beside another one."""

    other: str  # its name and precision
    differences: tuple[Difference, ...]
    otherwise: int | None  # rows that are answered otherwise; None where labels are not the same
    rows: int
    mcnemar: McNemar | None  # None where rows tell of each other or are numbers


def compare(
    this: Outcome, other: Outcome, material: Material, *, name: str, same_labels: bool
) -> Comparison:
    """Compare two outcomes on the rows of `material`; `name` is that of the other model."""
    theirs = {measure.key: measure for measure in other.measures}
    shared = [(one, theirs[one.key]) for one in this.measures if one.key in theirs]
    found = resampled([_difference(*pair) for pair in shared], material.documents)
    differences = tuple(
        _compared(one, own, values, len(material.examples))
        for (one, own), values in zip(shared, found, strict=True)
    )
    otherwise = sum(a != b for a, b in zip(this.found, other.found, strict=True))
    mcnemar = None
    if material.independent and this.correct is not None and other.correct is not None:
        mcnemar = McNemar.of(
            int((this.correct & ~other.correct).sum()), int((~this.correct & other.correct).sum())
        )
    rows = len(material.examples)
    return Comparison(name, differences, otherwise if same_labels else None, rows, mcnemar)


def _difference(one: Measure, other: Measure) -> Weighted:
    def difference(weights: Float64) -> Float64:
        return one.values(weights) - other.values(weights)

    return difference


def _compared(one: Measure, other: Measure, values: Float64, rows: int) -> Difference:
    here, there = (value_of(measure, rows) for measure in (one, other))
    low, high = limits(values)
    interval = Interval(here - there, float(low), float(high))
    return Difference(one.key, one.name, one.style, here, there, interval)


def value_of(measure: Measure, rows: int) -> float:
    """A measure of all rows, each once."""
    return float(measure.values(np.ones((1, rows)))[0])


def intervals(measures: Sequence[Measure], values: Sequence[Float64], rows: int) -> list[Interval]:
    """Each measure of all rows, with the limits of its draws."""
    found = []
    for measure, drawn in zip(measures, values, strict=True):
        low, high = limits(drawn)
        found.append(Interval(value_of(measure, rows), float(low), float(high)))
    return found
