"""How many cores this process may use: affinity and cgroup quota, not what the host has."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


def available_cores() -> int:
    """Whole cores: the smaller of the affinity mask and the cgroup's quota, at least 1."""
    affinity = len(os.sched_getaffinity(0))
    quota = _quota()
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def _quota() -> float | None:
    """Cores' worth of CPU time that the cgroup grants, or None without a limit."""
    try:
        if CGROUP_V2.exists():
            return parse_cpu_max(CGROUP_V2.read_text())
        quota, period = (path.read_text().strip() for path in CGROUP_V1)
        return parse_cpu_max(f"{'max' if quota == '-1' else quota} {period}")
    except OSError:
        return None  # no cgroup mounted here: nothing limits us


def parse_cpu_max(text: str) -> float | None:
    """The content of `cpu.max`, quota and period in microseconds, as cores.

    >>> parse_cpu_max("150000 100000"), parse_cpu_max("max 100000")
    (1.5, None)
    """
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)
