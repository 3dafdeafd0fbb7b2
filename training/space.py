"""A folder to be and the bytes that it takes in, an error out where the disk has no such room."""

import shutil
from pathlib import Path

from torch import nn

from training.errors import TrainingError

_GB = 1e9


def weight_bytes(model: nn.Module) -> int:
    """The bytes of a model's weights on disk, in float32.

    >>> weight_bytes(nn.Linear(3, 2))
    32
    """
    return sum(4 * int(tensor.numel()) for tensor in model.state_dict().values())


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot be kept.

    Args:
        folder: where it will be written; it need not be there yet.
        needed: bytes, at the most.
    """
    there = next(parent for parent in (folder, *folder.resolve().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise TrainingError(
            f"The run needs about {needed / _GB:.2f} GB for its checkpoints and for what it goes "
            f"on from, and the disk of {there} has {free / _GB:.2f} GB free."
        )
