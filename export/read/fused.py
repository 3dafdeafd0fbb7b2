"""Tensors that hold several products in, each product as a tensor of its own out; and the way back.

Some families keep the products of queries, keys and values in one matrix, one below the other.
Knows nothing of what the products are for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.read.tensors import TensorSource

_PART = re.compile(r"(.+)/(\d+)\.(weight|bias)")


@dataclass(frozen=True)
class Separated:
    """A `TensorSource` in which product i of `attn.Wqkv` is a module `attn.Wqkv/i`."""

    source: TensorSource
    fused: Mapping[str, int]
    """Module, the last parts of its key -> how many products it holds."""

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of all tensors, each product for itself.

        Raises:
            ExportError: a tensor does not divide into its products.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for key, shape in self.source.shapes.items():
            parts = self._parts(key)
            if not parts:
                shapes[key] = shape
                continue
            rows = shape[0] if shape else 0
            if rows % len(parts):
                raise ExportError(f"{key} has {rows} rows, which are not {len(parts)} products.")
            shapes |= dict.fromkeys(parts, (rows // len(parts), *shape[1:]))
        return shapes

    def read(self, key: str) -> NDArray[Any]:
        """One tensor, as `TensorSource.read`."""
        part = _PART.fullmatch(key)
        if part is None:
            return self.source.read(key)
        rows = self.shapes[key][0]
        start = rows * int(part[2])
        return self.source.read(f"{part[1]}.{part[3]}")[start : start + rows].copy()

    def _parts(self, key: str) -> list[str]:
        module, _, kind = key.rpartition(".")
        for name, count in self.fused.items():
            if module.endswith(f".{name}"):
                return [f"{module}/{index}.{kind}" for index in range(count)]
        return []


def fuse(tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The tensors as a checkpoint of the family has them.

    >>> half = np.ones((1, 2), np.float32)
    >>> fuse({"0.Wi/1.weight": half * 2, "0.Wi/0.weight": half})["0.Wi.weight"].tolist()
    [[1.0, 1.0], [2.0, 2.0]]
    """
    together: dict[str, dict[int, NDArray[np.float32]]] = {}
    fused = {}
    for key, tensor in tensors.items():
        if part := _PART.fullmatch(key):
            together.setdefault(f"{part[1]}.{part[3]}", {})[int(part[2])] = tensor
        else:
            fused[key] = tensor
    for key, parts in together.items():
        fused[key] = np.concatenate([parts[index] for index in sorted(parts)])
    return fused
