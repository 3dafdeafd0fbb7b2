"""Heads that lie beside a checkpoint's weights in files of their own, as if they were among them.

BGE-M3 has its sparse and its multi-vector head so. The files are pickles, read like other pickles:
only on request, by another process.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from numpy.typing import NDArray

from export.read.pickled import convert
from export.read.tensors import TensorSource, open_safetensors
from models.heads import MULTI_VECTOR, SPARSE

# Each holds a weight and a bias, and is called after the module.
MODULES: Final = tuple(
    module for head in (SPARSE, MULTI_VECTOR) for module in head.modules.values()
)
FILES: Final = tuple(f"{module}.pt" for module in MODULES)


@dataclass(frozen=True)
class WithHeads:
    """A `TensorSource` with heads from files of their own."""

    source: TensorSource
    shapes: dict[str, tuple[int, ...]]
    heads: dict[str, NDArray[Any]]

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, as `TensorSource.read`."""
        return self.heads[key].copy() if key in self.heads else self.source.read(key)


def with_head_files(source: TensorSource, folder: Path, *, allow_pickle: bool) -> WithHeads:
    """The tensors of `source` and of the files of heads in `folder`, where they may be read.

    Raises:
        ExportError: torch is not installed, or a file is no plain pickle of tensors.
    """
    heads: dict[str, NDArray[Any]] = {}
    for module in MODULES if allow_pickle else ():
        path = folder / f"{module}.pt"
        if path.is_file():
            with TemporaryDirectory(prefix="cloze-export-") as scratch:
                found = open_safetensors([convert(path, Path(scratch))])
                heads |= {f"{module}.{name}": found.read(name) for name in found.shapes}
    shapes = {key: tensor.shape for key, tensor in heads.items()}
    return WithHeads(source, {**source.shapes, **shapes}, heads)


def unread_heads(folder: Path, *, allow_pickle: bool) -> dict[str, str]:
    """Files of heads that are left out -> why."""
    names = () if allow_pickle else FILES
    reason = "a head in a pickle, which is read only with --allow-pickle"
    return {name: reason for name in names if (folder / name).is_file()}
