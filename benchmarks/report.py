"""Measured rounds -> the printed table and the JSON file, with what is needed to compare them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = ("onnxruntime", "tokenizers", "numpy", "fastapi", "uvicorn", "uvloop")


@dataclass(frozen=True)
class Measurement:
    """One figure of the table: its rounds, in the order in which they ran."""

    name: str
    unit: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return median(self.rounds)

    def line(self) -> str:
        """Write the median and the spread.

        >>> Measurement("embed, HTTP", "/s", (900.0, 1000.0, 950.0)).line()
        'embed, HTTP                          950.0 /s     900.0 to 1000.0'
        """
        spread = f"{min(self.rounds):.1f} to {max(self.rounds):.1f}"
        return f"{self.name:32} {self.median:9.1f} {self.unit:6} {spread}"


def ratio(name: str, parts: Sequence[float], wholes: Sequence[float]) -> Measurement:
    """Divide round by round, in percent.

    >>> ratio("share", [7.0, 8.0], [10.0, 10.0]).rounds
    (70.0, 80.0)
    """
    shares = (100 * part / whole for part, whole in zip(parts, wholes, strict=True))
    return Measurement(name, "%", tuple(shares))


def machine() -> dict[str, str | int]:
    """Describe what the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def table(measurements: Sequence[Measurement], conditions: Mapping[str, object]) -> str:
    """Write everything as text for people."""
    head = [f"{name}: {value}" for name, value in conditions.items()]
    columns = f"{'':32} {'median':>9} {'':6} spread of {len(measurements[0].rounds)} rounds"
    return "\n".join([*head, "", columns, *(measurement.line() for measurement in measurements)])


def write_json(
    file: Path, measurements: Sequence[Measurement], conditions: Mapping[str, object]
) -> None:
    """Write everything for programs."""
    figures = [asdict(entry) | {"median": entry.median} for entry in measurements]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**conditions, "measurements": figures}, indent=2) + "\n")


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
