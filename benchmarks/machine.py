"""This machine -> the conditions that stand beside every figure."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path

from server.inference.runtime.cores import available_cores

PACKAGES = (  # whose versions are told where they are installed
    *("onnxruntime", "onnxruntime-gpu", "tokenizers", "numpy", "fastapi", "uvicorn", "uvloop"),
    *("torch", "transformers"),
)

Conditions = dict[str, str]


def conditions(cores: Sequence[int]) -> Conditions:
    """Describe when and on what it is measured, and how many threads a subject may use."""
    mine = os.sched_getaffinity(0)
    shared = " (shared with the subject)" if mine & set(cores) else ""
    installed = {found.name: found.version for found in distributions()}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor(),
        "cores of each subject": f"{len(cores)} ({', '.join(map(str, cores))})",
        "cores of the load generator": ", ".join(map(str, sorted(mine))) + shared,
        "other load when it began": f"{os.getloadavg()[0]:.1f} cores",
        "system": platform.platform(terse=True),
        "versions": ", ".join(
            f"{name} {installed[name]}" for name in PACKAGES if name in installed
        ),
        "Python": platform.python_version(),
    }


def processor() -> str:
    """Return the processor's name, and the instructions for int8 and bf16 that it has."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")]
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16") if flag in text]
    return f"{names[0] if names else platform.processor()} ({', '.join(known) or 'no AVX2'})"


def gpu_name() -> str:
    """Return the name and driver of the first GPU, as its driver's tool tells them."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return "none"
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.partition("\n")[0] or "none"


def own_cores() -> list[int]:
    """Return the cores that this process may use, as many as its container's quota is worth."""
    return sorted(os.sched_getaffinity(0))[: available_cores()]


def leave(cores: Sequence[int]) -> None:
    """Move this process, and so the load generator, off the subjects' cores, if there are others.

    Raises:
        ValueError: a core that this process may not use.
    """
    mine = os.sched_getaffinity(0)
    if not set(cores) <= mine:
        raise ValueError(f"expected cores among {sorted(mine)}, found {sorted(cores)}")
    os.sched_setaffinity(0, mine - set(cores) or mine)


def core_list(text: str) -> list[int]:
    """Read a list of cores as `taskset` writes it.

    >>> core_list("0-2,5")
    [0, 1, 2, 5]
    """
    parts = (part.partition("-") for part in text.split(","))
    return [core for first, _, last in parts for core in range(int(first), int(last or first) + 1)]
