"""Hits, scores or correlations in, figures with 95 % intervals and a table of them out.

Knows no model.
"""

import json
import math
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from training.device import versions
from training.errors import TrainingError

Z = float(stats.norm.ppf(0.975))  # 95 % lie within that many standard errors
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
    found = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    return Interval(hits / trials, float(found.low), float(found.high))


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

    >>> round(rank_correlation(np.arange(10.0), np.exp(np.arange(10.0))).value, 6)
    1.0
    """
    n = len(x)
    if n < 4:
        raise TrainingError(f"A correlation needs at least 4 pairs, and there are {n}.")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        raise TrainingError("All scores are equal, so there is no correlation to measure.")
    r = float(stats.spearmanr(x, y).statistic)
    error = math.sqrt((1 + r**2 / 2) / (n - 3))  # of atanh(r)
    z = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r)))
    return Interval(r, math.tanh(z - Z * error), math.tanh(z + Z * error))


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one checkpoint."""

    name: str  # of its folder, not where that lies
    weights_sha256: str
    heads: tuple[str, ...]
    figures: tuple[Figure, ...]
    seconds: float

    def table(self, conditions: Mapping[str, object]) -> str:
        """Everything as Markdown: the figures, then the conditions."""
        about = f"heads: {', '.join(self.heads) or 'none'}; {self.seconds:.0f} s"
        lines = [
            f"### {self.name} ({about})",
            "",
            *table(self.figures),
            "",
            "; ".join(f"{name} {value}" for name, value in conditions.items()),
        ]
        return "\n".join(lines)

    def write(self, path: Path, conditions: Mapping[str, object]) -> None:
        """Write everything as JSON, with the figures by key."""
        figures = {
            figure.key: {"name": figure.name, **asdict(figure.interval)}
            | {"count": figure.count, "of": figure.of}
            for figure in self.figures
        }
        document = {**conditions, **asdict(self), "figures": figures}
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def table(figures: Iterable[Figure]) -> list[str]:
    """The lines of a Markdown table."""
    head = ["| measure | value | 95 % interval | over |", "| --- | ---: | ---: | --- |"]
    return [*head, *map(row, figures)]


def row(figure: Figure) -> str:
    """One line of the table.

    >>> row(Figure("nsp.hard", "next sentence, hard pairs", shares(75, 100), "share", 100, "pairs"))
    '| next sentence, hard pairs | 75.0 % | 65.7 to 82.5 % | 100 pairs |'
    """
    interval = figure.interval
    scale, digits, unit = 1, 3 if abs(interval.value) < 1 else 2, ""
    if figure.style == "share":
        scale, digits, unit = 100, 1, " %"
    ends = (interval.value, interval.low, interval.high)
    value, low, high = (f"{scale * end:.{digits}f}" for end in ends)
    measured = f"{value}{unit} | {low} to {high}{unit}"
    return f"| {figure.name} | {measured} | {figure.count:,} {figure.of} |"


def machine(device: torch.device) -> dict[str, object]:
    """What the figures were measured on, and with."""
    on_gpu = device.type == "cuda"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu ({_processor()})",
        "threads": torch.get_num_threads(),
        **versions(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
