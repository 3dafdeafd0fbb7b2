"""A `TensorSource` and a name map in, weights by canonical name out, one at a time.

Knows nothing of files or of how the checkpoint called its tensors.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from export.read.tensors import TensorSource

Float32 = NDArray[np.float32]
Weights = Mapping[str, Float32]
"""Canonical name -> float32 array, C-contiguous; linear weights are (out, in)."""
WORD_TABLE = "embeddings.word"
UNTIED_DECODER, DECODER_BIAS = "mlm.decoder.weight", "mlm.decoder.bias"


def decoder_table(weights: Container[str]) -> str:
    """The weight that the decoder of masked words multiplies by: its own, or the word table.

    >>> decoder_table(["embeddings.word", "mlm.decoder.bias"])
    'embeddings.word'
    """
    return UNTIED_DECODER if UNTIED_DECODER in weights else WORD_TABLE


@dataclass(frozen=True, eq=False)
class CheckpointWeights(Weights):
    """Weights that are read from the checkpoint each time they are asked for, and never kept.

    A BERT-Large is 1.3 GB: whoever keeps an array decides about its memory.
    """

    source: TensorSource
    names: Mapping[str, str]
    """Canonical name -> the checkpoint's."""

    def __getitem__(self, name: str) -> Float32:
        """The weight.

        Raises:
            KeyError: no such weight.
            ExportError: its bytes are damaged, not floating point, or not finite in float32.
        """
        key = self.names[name]
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, reported below
            array = np.ascontiguousarray(self.source.read(key), dtype=np.float32)
        if not np.isfinite(array).all():
            raise ExportError(f"{key} holds NaN or infinite values.")
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        # Mapping's own would read the weight to find out.
        return name in self.names


@dataclass(frozen=True, eq=False)
class JoinedWeights(Weights):
    """The weights of several files, whose names differ."""

    parts: tuple[Weights, ...]

    def __getitem__(self, name: str) -> Float32:
        """The weight, from the part that has it."""
        for part in self.parts:
            if name in part:
                return part[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        for part in self.parts:
            yield from part

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self.parts)
