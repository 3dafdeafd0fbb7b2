"""Flags in, the device that a command computes on out, with its threads and its memory set."""

import argparse
import ctypes
import platform
from importlib.metadata import version

import torch

from training.errors import TrainingError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")  # of products
# From glibc's malloc.h (mallopt(3)).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_NEVER = 2**31 - 1


def add_device_flags(parser: argparse.ArgumentParser, *, default: str = "auto") -> None:
    """Declare the flags."""
    shown = "auto is cuda where there is a GPU (default: %(default)s)"
    parser.add_argument("--device", choices=DEVICES, default=default, help=shown)
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")


def chosen_device(arguments: argparse.Namespace) -> torch.device:
    """The device that the flags say; the threads are set. A `TrainingError` where it is not."""
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise TrainingError("--threads must be at least 1.")
        torch.set_num_threads(arguments.threads)
    return device_named(arguments.device)


def device_named(name: str) -> torch.device:
    """One of `DEVICES`; a `TrainingError` where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("There is no CUDA device; leave --device out or say cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Within, products are computed in one of `PRECISIONS`; weights and sums stay in float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide what is computed."""
    packages = ("torch", "numpy", "tokenizers")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process; False where the C library has no such switch.

    PyTorch's CPU tensors come from malloc, which hands blocks of some megabytes back to the kernel
    when they are freed; the next step gets them back page by page, each page zeroed first.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # musl, macOS, Windows: training works there, at its allocator's speed
    # A block of any size is then taken from the heap, and the heap is never given back.
    return bool(mallopt(_M_MMAP_THRESHOLD, _NEVER)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
