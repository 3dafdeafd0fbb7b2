"""glibc told to keep what training frees, since taking memory anew costs a page fault per page.

PyTorch's CPU tensors come from malloc, which hands blocks of some megabytes back to the kernel when
they are freed; the next step gets them back page by page, each page zeroed first.
"""

from __future__ import annotations

import ctypes

# From glibc's malloc.h (mallopt(3)).
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let freed memory stay with the process; False where the C library has no such switch."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False  # musl, macOS, Windows: training works there, at its allocator's speed
    # A block of any size is then taken from the heap, and the heap is never given back.
    return bool(mallopt(_M_MMAP_THRESHOLD, _NEVER)) and bool(mallopt(_M_TRIM_THRESHOLD, _NEVER))
