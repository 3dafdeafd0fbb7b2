"""Figures and conditions -> Markdown for people, JSON for programs, and JSON back to figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from statistics import median

from benchmarks.results import UNITS, Figure, ratio

Conditions = Mapping[str, str]


def markdown(
    figures: Sequence[Figure], conditions: Conditions, references: Sequence[str] = ()
) -> str:
    """Write everything; rates also as how many times the subject's rate each reference has."""
    head = [f"- {name}: {value}" for name, value in conditions.items()]
    note = "Medians of the rounds, and in brackets their spread; ratios are taken round by round."
    parts = ["\n".join(head), note]
    for section, members in groupby(figures, lambda figure: figure.section):
        parts += [f"## {section}", section_table(list(members), references)]
    return "\n\n".join(parts) + "\n"


def section_table(figures: Sequence[Figure], references: Sequence[str] = ()) -> str:
    """Write one section: a row for each workload and subject, a column for each measure.

    >>> rates = Figure("load", "short", "cloze", "rate", (90.0, 100.0, 110.0))
    >>> print(section_table([rates]))
    | workload | subject | rate (per second) |
    | --- | --- | --- |
    | short | cloze | 100 (90.0 to 110) |
    """
    measures = list(dict.fromkeys(figure.measure for figure in figures))
    cells = {(figure.workload, figure.subject, figure.measure): figure for figure in figures}
    rows = list(dict.fromkeys((figure.workload, figure.subject) for figure in figures))
    compared = [
        name for name in references if "rate" in measures and len({row[1] for row in rows}) > 1
    ]
    titles = [f"{measure} ({UNITS[measure]})" for measure in measures]
    lines = []
    for row in rows:
        shown = [cell(cells.get((*row, measure))) for measure in measures]
        rates = [
            (cells.get((row[0], name, "rate")), cells.get((*row, "rate"))) for name in compared
        ]
        lines.append([*row, *shown, *(times(one, other) for one, other in rates)])
    return table(["workload", "subject", *titles, *(f"{name} / this" for name in compared)], lines)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    | --- | --- |
    | 1 | 2 |
    """
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(figure: Figure | None) -> str:
    """Write a median and its spread, nothing for what was not measured."""
    if figure is None:
        return ""
    low, high = figure.spread
    return f"{short(figure.median)} ({short(low)} to {short(high)})"


def times(one: Figure | None, other: Figure | None) -> str:
    """Write how many times the other's value the one's is."""
    if one is None or other is None or one is other:
        return ""
    ratios = ratio(one, other)
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def short(value: float) -> str:
    """Write a number with three digits that say something.

    >>> short(1234.5), short(99.95), short(3.14159), short(0.0123)
    ('1234', '100', '3.14', '0.0123')
    """
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}"


def write(
    folder: Path,
    name: str,
    figures: Sequence[Figure],
    conditions: Conditions,
    references: Sequence[str] = (),
) -> None:
    """Write NAME.md and NAME.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown(figures, conditions, references))
    entries = [
        asdict(figure) | {"unit": UNITS[figure.measure], "median": figure.median}
        for figure in figures
    ]
    content = {"conditions": dict(conditions), "figures": entries}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def read(file: Path) -> list[Figure]:
    """Read the figures of a NAME.json."""
    return [
        Figure(
            one["section"], one["workload"], one["subject"], one["measure"], tuple(one["rounds"])
        )
        for one in json.loads(file.read_text())["figures"]
    ]
