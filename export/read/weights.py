"""A `TensorSource` and a key map in, BERT's weights by canonical name out, one at a time.

Knows nothing of files or of how the checkpoint called its tensors.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.read.tensors import TensorSource


class Weights(Mapping[str, NDArray[np.float32]]):
    """Canonical name -> float32 array, C-contiguous; linear weights are (out, in)."""

    @abstractmethod
    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one weight, without reading it."""


class CheckpointWeights(Weights):
    """Weights that are read from the checkpoint each time they are asked for, and never kept.

    A BERT-Large is 1.3 GB: whoever keeps an array decides about its memory.
    """

    def __init__(self, source: TensorSource, keys: Mapping[str, str]) -> None:
        """`keys` gives the checkpoint's key for each canonical name."""
        self._source = source
        self._keys = keys

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The weight.

        Raises:
            KeyError: no such weight.
            ExportError: its bytes are damaged, not floating point, or not finite in float32.
        """
        key = self._keys[name]
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, reported below
            array = np.ascontiguousarray(self._source.read(key), dtype=np.float32)
        if not np.isfinite(array).all():
            raise ExportError(f"{key} holds NaN or infinite values.")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the weight to find out.
        return name in self._keys

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one weight, without reading it."""
        return self._source.shapes[self._keys[name]]
