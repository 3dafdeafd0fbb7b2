"""How a graph is opened in ONNX Runtime, for the exporter's parity and for the server alike.

What was checked is what serves: both get the same optimisers, the same int8 products and the same
treatment of denormals from here. Knows nothing of heads or of batches.
"""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort

from models.manifest import GRAPH_FILE, ManifestError

CPU_INFO: Final = Path("/proc/cpuinfo")
# What the optimiser would put in is slower on the CPU provider than the operators apart.
# On a GPU the first would normalise in float16, unlike the graph that was checked.
DISABLED_OPTIMIZERS: Final = ("SkipLayerNormFusion", "BiasGeluFusion")
ENTRIES: Final = {
    # Threads of one run wait awake for its next product, which for a short text comes sooner than
    # they wake up. Between runs they would take the cores from whoever else needs them.
    "session.intra_op.allow_spinning": "1",
    "session.force_spinning_stop": "1",
    # Masked positions leave denormals in attention, which Intel's processors compute with slowly.
    # The entry holds for the threads of the session's own pool, for the thread that opens the first
    # session of a process, and for those that this one starts later, which inherit it (POSIX,
    # pthread_create): not for others. `denormals_are_flushed` tells.
    "session.set_denormal_as_zero": "1",
}
ERRORS_ONLY: Final = 3


def open_session(
    graph: Path | bytes,
    *,
    threads: int = 0,
    providers: Sequence[object] = ("CPUExecutionProvider",),
) -> ort.InferenceSession:
    """Open the graph in the file `graph`, or a graph itself; `threads` compute a run, 0 for all.

    `providers` are names, or pairs of a name and its options, as ONNX Runtime takes them.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    for key, value in (ENTRIES | precision_entries()).items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph),
        options,
        providers=list(providers),
        disabled_optimizers=list(DISABLED_OPTIMIZERS),
    )


@contextmanager
def refused(folder: Path) -> Iterator[None]:
    """Turn what ONNX Runtime says against the graph of `folder` into a `ManifestError`.

    So too what comes of outputs that are missing or of another shape than they should be.
    """
    try:
        yield
    except Exception as error:
        told = type(error).__module__.startswith(ort.__name__)
        if not told and not isinstance(error, LookupError | TypeError | ValueError):
            raise
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
        raise ManifestError(f"{folder.name}/{GRAPH_FILE} cannot be run: {reason}") from error


def denormals_are_flushed() -> bool:
    """Whether the thread that calls this takes denormal numbers for zero."""
    smallest = np.finfo(np.float32).smallest_normal
    return bool(smallest * np.float32(0.5) == 0)


def precision_entries() -> dict[str, str]:
    """Session configuration entries for exact int8 products on this processor.

    Without the VNNI instructions, x86 adds products of uint8 and int8 in 16 bits and saturates.
    ONNX Runtime has a way around it that takes twice as long, so it is chosen only where needed.
    """
    known = CPU_INFO.read_text(encoding="utf-8") if CPU_INFO.exists() else ""
    exact = platform.machine() != "x86_64" or has_vnni(known)
    return {} if exact else {"session.x64quantprecision": "1"}


def has_vnni(cpu_info: str) -> bool:
    r"""Whether the first processor of `/proc/cpuinfo` has VNNI, in either of its forms.

    >>> has_vnni("flags\t\t: fpu avx2 avx512_vnni\n"), has_vnni("flags\t\t: fpu avx2\n")
    (True, False)
    """
    flags = next((line for line in cpu_info.splitlines() if line.startswith("flags")), "")
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(flags.split())
