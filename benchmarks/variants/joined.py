"""Weights -> the same weights, and those of query, key and value as one matrix besides."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from export.read.weights import Weights

JOINED = ".attention.qkv."
PARTS = ("query", "key", "value")


class JoinedWeights(Weights):
    """Answers for `layers.N.attention.qkv.weight` (3·H, H) and `.bias` (3·H,) too."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """One weight; a joined one from its three parts."""
        if JOINED not in name:
            return self._weights[name]
        layer, kind = name.split(JOINED)
        parts = [self._weights[f"{layer}.attention.{part}.{kind}"] for part in PARTS]
        return np.concatenate(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __contains__(self, name: object) -> bool:
        return name in self._weights or JOINED in str(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one weight as the checkpoint has it."""
        return self._weights.shape(name)
