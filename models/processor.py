"""What int8 needs to know of the processor, for whoever opens a model: export and server.

Without the VNNI instructions, x86 adds products of uint8 and int8 in 16 bits and saturates.
ONNX Runtime has a way around it that takes twice as long, so it is chosen only where it is needed.
"""

from __future__ import annotations

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def precision_entries() -> dict[str, str]:
    """Session configuration entries for exact int8 products on this processor."""
    return {"session.x64quantprecision": "1"} if _saturates() else {}


def _saturates() -> bool:
    if platform.machine() != "x86_64":
        return False
    return not CPU_INFO.exists() or not has_vnni(CPU_INFO.read_text(encoding="utf-8"))


def has_vnni(cpu_info: str) -> bool:
    """Whether the first processor of `/proc/cpuinfo` has VNNI, in either of its forms.

    >>> has_vnni("flags\\t\\t: fpu avx2 avx512_vnni\\n"), has_vnni("flags\\t\\t: fpu avx2\\n")
    (True, False)
    """
    flags = next((line for line in cpu_info.splitlines() if line.startswith("flags")), "")
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())
