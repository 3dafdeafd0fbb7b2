"""Figures of a report -> two plots as SVG: latency against offered load, throughput against length.

Usage: python -m benchmarks.plots [RESULTS.json ...] [--to FOLDER]
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from benchmarks.report import read
from benchmarks.results import Figure

RESULTS = Path(__file__).parent / "results"
PLOTS = Path(__file__).parents[1] / "docs" / "plots"

SIZE_INCHES = (7.0, 4.2)
# The same drawing gives the same file, and text stays text.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "cloze",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
}


Lines = Mapping[str, Sequence[tuple[float, Figure]]]
"""Of each subject: where a figure stands on the x axis."""


def latency_lines(figures: Sequence[Figure], task: str, measure: str) -> Lines:
    """Return, for each subject, the latency at each offered rate."""
    found = [figure for figure in figures if figure.section == "load"]
    rates = {(f.subject, f.workload): f.median for f in found if f.measure == "rate"}
    lines: defaultdict[str, list[tuple[float, Figure]]] = defaultdict(list)
    for figure in found:
        if figure.measure == measure and f" {task} at " in f" {figure.workload}":
            rate = rates[figure.subject, figure.workload]
            lines[figure.subject].append((rate, figure))
    return lines


def length_lines(figures: Sequence[Figure], task: str) -> Lines:
    """Return, for each subject, the throughput at each length of text in tokens."""
    lines: defaultdict[str, list[tuple[float, Figure]]] = defaultdict(list)
    for figure in figures:
        of = re.fullmatch(rf"{task} of (\d+) tokens", figure.workload)
        if figure.section == "length" and of:
            lines[figure.subject].append((int(of[1]), figure))
    return lines


def draw(lines: Lines, x_title: str, y_title: str, file: Path) -> None:
    """Write one plot with logarithmic axes, the spread of the rounds as a band."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=SIZE_INCHES, layout="constrained")
        axes = canvas.subplots()
        for name, unsorted in lines.items():
            xs, figures = zip(*sorted(unsorted, key=itemgetter(0)), strict=True)
            lows, highs = zip(*(figure.spread for figure in figures), strict=True)
            axes.plot(xs, [one.median for one in figures], marker="o", markersize=3, label=name)
            axes.fill_between(xs, lows, highs, alpha=0.15)
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
    parser.add_argument("--to", type=Path, default=PLOTS)
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for report in options.reports or sorted(RESULTS.glob("*.json")):
        for file in plot(report, options.to):
            print(file)


if __name__ == "__main__":
    main()
