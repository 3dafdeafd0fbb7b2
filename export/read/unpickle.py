"""The child process of `export.read.pickled`: `unpickle.py PICKLE SAFETENSORS`. Needs torch.

Stands alone: it imports nothing of this project. On failure the last line on stderr is a sentence.
"""

import ctypes
import pickle
import pickletools
import struct
import sys
import zipfile
from pathlib import Path

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h


def main(source: Path, target: Path) -> str | None:
    """Convert one file; the sentence to fail with, None when done."""
    try:
        import torch  # noqa: PLC0415 (an optional dependency)
        from safetensors.torch import save_file  # noqa: PLC0415 (needs torch)
    except ImportError:
        return "torch is not installed, which pickles need."
    # Into a network of its own, with nobody in it, where the kernel allows.
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "unshare"):
        libc.unshare(NEW_USER | NEW_NETWORK)
    try:
        # The older format, a bare pickle, cannot be mapped.
        tensors = torch.load(
            source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source)
        )
    except PermissionError as error:
        return f"{error.strerror}."
    except Exception as error:  # noqa: BLE001 (bytes from elsewhere break readers in any way)
        if isinstance(error, pickle.UnpicklingError) and _is_pickle(source):
            return "it asks for more than tensors, which may be code; it was not run."
        return "it is damaged or was cut short."
    if not isinstance(tensors, dict) or not all(map(torch.is_tensor, tensors.values())):
        return "it holds something else than named tensors."
    # Tied weights share memory, which safetensors does not store.
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, target)
    return None


def _is_pickle(source: Path) -> bool:
    """Whether a file is a pickle from its first operation to its last; none of them is run."""
    if zipfile.is_zipfile(source):
        return True
    with source.open("rb") as file:
        try:
            return all(True for _ in pickletools.genops(file))
        except (ValueError, IndexError, struct.error):
            return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
