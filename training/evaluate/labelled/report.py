"""An outcome in, its figures with intervals and its tables out: Markdown for people, and JSON."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from training.evaluate.figures import Figure, Style, shares
from training.evaluate.labelled.bootstrap import limits, resampled
from training.evaluate.labelled.comparison import Comparison, intervals
from training.evaluate.labelled.material import Material
from training.evaluate.labelled.outcome import ByClass, Confusion, Outcome
from training.evaluate.labelled.thresholds import Thresholds
from training.evaluate.labelled.weighted import Float64

SHOWN = 30  # classes in a table for people; the JSON has all
CONFUSION_SHOWN = 12  # labels in a confusion matrix for people; of more the largest confusions
LARGEST_SHOWN = 10


@dataclass(frozen=True)
class ClassFigures:
    """One class; what cannot be said is None."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    low: float | None  # of F1
    high: float | None
    right: int
    found: int


@dataclass(frozen=True, eq=False)
class Report:
    """What is said of one model on one file."""

    figures: tuple[Figure, ...]
    classes: tuple[ClassFigures, ...]
    outcome: Outcome
    comparison: Comparison | None = None

    @classmethod
    def of(cls, outcome: Outcome, material: Material, comparison: Comparison | None) -> Self:
        """Give every measure its interval."""
        by_class = outcome.by_class
        functions = [measure.values for measure in outcome.measures]
        drawn = resampled(
            [*functions, by_class.counts.f1] if by_class else functions, material.documents
        )
        rows, figures = len(material.examples), []
        found = intervals(outcome.measures, drawn[: len(functions)], rows)
        for one, drawn_from in zip(outcome.measures, found, strict=True):
            interval = drawn_from
            if one.hits is not None and material.independent:
                interval = shares(int(one.hits.sum()), len(one.hits))
            figures.append(Figure(one.key, one.name, interval, one.style, one.count, one.of))
        classes = _classes(by_class, drawn[-1], rows) if by_class else ()
        return cls(tuple(figures), classes, outcome, comparison)

    def sections(self) -> str:
        """The tables that come below that of the figures."""
        outcome = self.outcome
        parts = [
            *([_by_class(outcome.by_class.what, self.classes)] if outcome.by_class else []),
            *([_thresholds(outcome.thresholds)] if outcome.thresholds else []),
            *([_confusion(outcome.confusion)] if outcome.confusion else []),
            *([_comparison(self.comparison)] if self.comparison else []),
        ]
        return "\n\n".join("\n".join(part) for part in parts)

    def document(self) -> dict[str, Any]:
        """The same for programs, beside the figures."""
        outcome, said = self.outcome, dict[str, Any]()
        if outcome.by_class:
            said["by_class"] = [asdict(one) for one in self.classes]
        if outcome.confusion:
            said["confusion"] = {
                "labels": outcome.confusion.names, "counts": outcome.confusion.counts.tolist(),
            }  # fmt: skip
        if outcome.thresholds:
            said["thresholds"] = outcome.thresholds.best
            said["thresholds_used"] = outcome.thresholds.used
            said["average_precision"] = outcome.thresholds.average_precision
        if self.comparison:
            said["comparison"] = asdict(self.comparison)
        return said


def write_predictions(path: Path, outcome: Outcome, material: Material) -> None:
    """A line of JSON for each row: where it stands, what is right and what the model says of it."""
    with path.open("w", encoding="utf-8") as file:
        for number, example in enumerate(material.examples):
            row: dict[str, Any] = {"row": example.place, "right": outcome.right[number],
                                   "found": outcome.found[number]}  # fmt: skip
            if outcome.correct is not None:
                row["correct"] = bool(outcome.correct[number])
            if outcome.scores is not None:
                row["scores"] = outcome.scores[number]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _classes(by_class: ByClass, drawn: Float64, rows: int) -> tuple[ClassFigures, ...]:
    """Each class; `drawn` is its F1 of every draw, float64 (draws, K)."""
    once, counts = np.ones((1, rows)), by_class.counts
    low, high = limits(drawn)
    _, right, found = (side[0].astype(int).tolist() for side in counts.drawn(once))
    precision, recall, f1 = (
        side[0] for side in (counts.precision(once), counts.recall(once), counts.f1(once))
    )
    return tuple(
        ClassFigures(
            name,
            precision=_known(precision[k]),
            recall=_known(recall[k]),
            f1=_known(f1[k]),
            low=_known(low[k]),
            high=_known(high[k]),
            right=right[k],
            found=found[k],
        )
        for k, name in enumerate(by_class.names)
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _by_class(what: str, classes: Sequence[ClassFigures]) -> list[str]:
    shown = sorted(classes, key=lambda one: -one.right)[:SHOWN] if len(classes) > SHOWN else classes
    lines = [
        f"| {what} | precision | recall | F1 | 95 % interval | right | found |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in shown:
        ends = "–" if one.low is None else f"{percent(one.low, '')} to {percent(one.high)}"
        cells = [_cell(one.name), *map(percent, (one.precision, one.recall, one.f1)), ends]
        lines.append(f"| {' | '.join(cells)} | {one.right:,} | {one.found:,} |")
    if len(shown) < len(classes):
        lines += ["", f"{len(classes) - len(shown)} more with fewer right; --json has all."]
    return lines


def _thresholds(found: Thresholds) -> list[str]:
    return [
        "| label | average precision | threshold | best threshold |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {_cell(name)} | {percent(found.average_precision[name])} | {found.used[name]:.3g} "
            f"| {found.best[name]:.3g} |"
            for name in found.labels[:SHOWN]
        ),
    ]


def _confusion(confusion: Confusion) -> list[str]:
    names, counts = [_cell(name) for name in confusion.names], confusion.counts
    if len(names) <= CONFUSION_SHOWN:
        return [
            f"| {confusion.of}: right (down), found (across) | {' | '.join(names)} |",
            "| --- |" + " ---: |" * len(names),
            *(
                f"| {name} | {' | '.join(f'{count:,}' for count in row)} |"
                for name, row in zip(names, counts.tolist(), strict=True)
            ),
        ]
    return [
        "| right | found | " + confusion.of + " |",
        "| --- | --- | ---: |",
        *(f"| {names[a]} | {names[b]} | {counts[a, b]:,} |" for a, b in largest(confusion)),
    ]


def largest(confusion: Confusion) -> Iterator[tuple[int, int]]:
    """The confusions that are most frequent: the right label's number and the answer's."""
    wrong = confusion.counts - np.diag(np.diag(confusion.counts))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:LARGEST_SHOWN].tolist():
        right, found = divmod(place, len(confusion.names))
        if wrong[right, found]:
            yield right, found


def _comparison(comparison: Comparison) -> list[str]:
    lines = [
        f"| measure | this | {_cell(comparison.other)} | difference | 95 % interval |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for one in comparison.differences:
        value, other = (number(side, one.style) for side in (one.value, one.other))
        change, low, high = (
            number(end, one.style, signed=True)
            for end in (one.interval.value, one.interval.low, one.interval.high)
        )
        lines.append(f"| {one.name} | {value} | {other} | {change} | {low} to {high} |")
    said = []
    if comparison.otherwise is not None:
        said.append(f"{comparison.otherwise:,} of {comparison.rows:,} rows are answered otherwise.")
    if comparison.mcnemar:
        found = comparison.mcnemar
        said.append(
            f"Right here alone: {found.only_this:,}; right there alone: {found.only_other:,}; "
            f"McNemar's exact test: p = {found.p:.2g}."
        )
    return [*lines, "", " ".join(said)] if said else lines


def percent(share: float | None, unit: str = " %") -> str:
    """A share for people.

    >>> percent(0.8234), percent(None)
    ('82.3 %', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}{unit}"


def number(value: float, style: Style, *, signed: bool = False) -> str:
    """A value for people.

    >>> number(0.8234, "share"), number(-0.0123, "share", signed=True), number(0.5, "number")
    ('82.3 %', '-1.2 %', '0.500')
    """
    sign = "+" if signed else ""
    return f"{100 * value:{sign}.1f} %" if style == "share" else f"{value:{sign}.3f}"


def _cell(text: str) -> str:
    """A name in a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
