"""The path of a class of torch.nn in, what Cloze calls its function out, and back.

sentence-transformers names activations so: `torch.nn.modules.activation.Tanh`. What comes from a
file is compared and never imported.
"""

from collections.abc import Mapping
from typing import Final

from export.errors import ExportError

_TORCH: Final = "torch.nn."


def of_torch(path: str, known: Mapping[str, str], file: str) -> str | None:
    """The function of a class by its path, None for an empty path.

    Args:
        path: as the file has it.
        known: class -> function.
        file: for messages.

    Raises:
        ExportError: it is not of torch, or not a class that Cloze serves there.

    >>> of_torch("torch.nn.modules.linear.Identity", {"Identity": "none"}, "config.json")
    'none'
    """
    if not path:
        return None
    name = path.rpartition(".")[2]
    if not path.startswith(_TORCH) or name not in known:
        raise ExportError(
            f"{file} names the activation {path}; Cloze serves torch.nn's {', '.join(known)}."
        )
    return known[name]


def torch_path(function: str, known: Mapping[str, str]) -> str:
    """The way back, as torch itself calls the class.

    >>> torch_path("none", {"Identity": "none"}), torch_path("tanh", {"Tanh": "tanh"})
    ('torch.nn.modules.linear.Identity', 'torch.nn.modules.activation.Tanh')
    """
    name = next(name for name, known_as in known.items() if known_as == function)
    return f"{_TORCH}modules.{'linear' if name == 'Identity' else 'activation'}.{name}"
