"""Figures of a report -> two plots as SVG: latency against offered load, throughput against length.

Usage: python -m benchmarks.plots [RESULTS.json ...] [--to FOLDER]
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.report import read
from benchmarks.results import Figure

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"

SIZE_INCHES = (7.0, 4.2)
# The same drawing gives the same file, and text stays text.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cloze",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


@dataclass(frozen=True)
class Point:
    """One measured place of a line."""

    x: float
    y: float
    low: float
    high: float


Lines = Mapping[str, Sequence[Point]]


def latency_lines(figures: Sequence[Figure], task: str, measure: str) -> Lines:
    """Return, for each subject, the latency at each offered rate."""
    found = [figure for figure in figures if figure.section == "load"]
    rates = {(f.subject, f.workload): f.median for f in found if f.measure == "rate"}
    lines: defaultdict[str, list[Point]] = defaultdict(list)
    for figure in found:
        if figure.measure == measure and f" {task} at " in f" {figure.workload}":
            rate = rates[figure.subject, figure.workload]
            lines[figure.subject].append(Point(rate, figure.median, *figure.spread))
    return lines


def length_lines(figures: Sequence[Figure], task: str) -> Lines:
    """Return, for each subject, the throughput at each length of text in tokens."""
    lines: defaultdict[str, list[Point]] = defaultdict(list)
    for figure in figures:
        of = re.fullmatch(rf"{task} of (\d+) tokens", figure.workload)
        if figure.section == "length" and of:
            lines[figure.subject].append(Point(int(of[1]), figure.median, *figure.spread))
    return lines


def draw(lines: Lines, x_title: str, y_title: str, file: Path) -> None:
    """Write one plot with logarithmic axes, the spread of the rounds as a band."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=SIZE_INCHES, layout="constrained")
        axes = canvas.subplots()
        for name, unsorted in lines.items():
            points = sorted(unsorted, key=lambda point: point.x)
            xs = [point.x for point in points]
            axes.plot(xs, [point.y for point in points], marker="o", markersize=3, label=name)
            axes.fill_between(xs, [p.low for p in points], [p.high for p in points], alpha=0.15)
        axes.set(xscale="log", yscale="log", xlabel=x_title, ylabel=y_title)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(lambda value, _: minor_label(value))
        axes.grid(visible=True, which="both", linewidth=0.3)
        axes.legend(fontsize="small")
        canvas.savefig(file, format="svg", metadata={"Date": None})


def minor_label(value: float) -> str:
    """Label some of the ticks between powers of ten, which alone would be too few.

    >>> minor_label(200.0), minor_label(0.05), minor_label(300.0)
    ('200', '0.05', '')
    """
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def plot(file: Path, folder: Path) -> list[Path]:
    """Draw what one report has figures for."""
    figures = read(file)
    drawn: list[Path] = []
    for task in ("fill-mask", "embed"):
        plots = (
            ("p99", latency_lines(figures, task, "p99"), "offered requests per second", "p99, ms"),
            ("p50", latency_lines(figures, task, "p50"), "offered requests per second", "p50, ms"),
            ("length", length_lines(figures, task), "tokens of each text", "texts per second"),
        )
        for kind, lines, x_title, y_title in plots:
            if lines:
                drawn.append(folder / f"{file.stem}-{task}-{kind}.svg")
                draw(lines, x_title, f"{task}: {y_title}", drawn[-1])
    return drawn


def main() -> None:
    """Draw the given reports, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("reports", nargs="*", type=Path)
    parser.add_argument("--to", type=Path, default=REPOSITORY / "docs" / "plots")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for report in options.reports or sorted(RESULTS.glob("*.json")):
        for file in plot(report, options.to):
            print(file)


if __name__ == "__main__":
    main()
