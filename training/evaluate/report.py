"""Figures in, a Markdown table for people and a JSON file for programs out."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from training.evaluate.figures import Figure

PACKAGES = ("torch", "numpy", "tokenizers")


@dataclass(frozen=True)
class Evaluation:
    """What was measured of one checkpoint."""

    role: str  # "checkpoint", or "baseline" to compare it with
    name: str  # of its folder, not where that lies
    weights_sha256: str
    heads: tuple[str, ...]
    figures: tuple[Figure, ...]
    seconds: float


def table(evaluations: Sequence[Evaluation], conditions: Mapping[str, object]) -> str:
    """Everything as Markdown: one table per checkpoint, then the conditions."""
    lines = []
    for evaluation in evaluations:
        heads = ", ".join(evaluation.heads) or "none"
        about = f"heads: {heads}; {evaluation.seconds:.0f} s"
        lines += [
            f"### {evaluation.role}: {evaluation.name} ({about})",
            "",
            "| measure | value | 95 % interval | over |",
            "| --- | ---: | ---: | --- |",
            *(row(figure) for figure in evaluation.figures),
            "",
        ]
    said = "; ".join(f"{name} {value}" for name, value in conditions.items())
    return "\n".join([*lines, said])


def row(figure: Figure) -> str:
    """One line of the table.

    >>> from training.evaluate.figures import shares
    >>> row(Figure("nsp.hard", "next sentence, hard pairs", shares(75, 100), "share", 100, "pairs"))
    '| next sentence, hard pairs | 75.0 % | 65.7 to 82.5 % | 100 pairs |'
    """
    interval = figure.interval
    if figure.style == "share":
        value, low, high = (100 * x for x in (interval.value, interval.low, interval.high))
        said, between = f"{value:.1f} %", f"{low:.1f} to {high:.1f} %"
    else:
        digits = 3 if abs(interval.value) < 1 else 2
        value, low, high = interval.value, interval.low, interval.high
        said, between = f"{value:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}"
    return f"| {figure.name} | {said} | {between} | {figure.count:,} {figure.of} |"


def write_json(
    path: Path, evaluations: Sequence[Evaluation], conditions: Mapping[str, object]
) -> None:
    """Write everything, with the figures by key."""
    document = {
        **conditions,
        "evaluations": [
            asdict(evaluation) | {"figures": {f.key: _fields(f) for f in evaluation.figures}}
            for evaluation in evaluations
        ],
    }
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def machine(device: torch.device) -> dict[str, object]:
    """What the figures were measured on, and with."""
    on_gpu = device.type == "cuda"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "device": torch.cuda.get_device_name(device) if on_gpu else f"cpu ({_processor()})",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def _fields(figure: Figure) -> dict[str, object]:
    interval = asdict(figure.interval)
    return {"name": figure.name, **interval, "count": figure.count, "of": figure.of}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"
