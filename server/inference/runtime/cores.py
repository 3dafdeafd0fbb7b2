"""How many cores this process may use: affinity and cgroup quota, not what the host has.

Where several processes serve, each uses its share of them.
"""

import os
from pathlib import Path

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = (
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)


_sharing = 1  # processes


def share_cores(processes: int) -> None:
    """Says that so many processes use the cores together, this one among them."""
    global _sharing  # noqa: PLW0603 (of the whole process, as its affinity is)
    _sharing = processes


def available_cores() -> int:
    """Whole cores: of the affinity mask or the cgroup's quota, whichever is less; at least 1."""
    usable, quota = _usable(), _quota()
    cores = usable if quota is None else min(usable, int(quota))
    return max(1, cores // _sharing)


def _usable() -> int:
    """Cores of the affinity mask, or of the machine where the system knows no such mask: macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
