"""BERT's weights in, the same function with fewer biases out.

Two of attention's biases need no addition at every token:

* A key's bias adds the same number to all scores of a query, which softmax takes out again.
* A value's bias comes out of attention as it went in, since its weights sum to 1. It is added to
  the bias of the product that follows: W·(c + b_v) + b = W·c + (W·b_v + b).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from export.read.weights import Weights

LEFT_OUT = (".attention.key.bias", ".attention.value.bias")
TAKES_IT = ".attention.output.bias"


class FoldedWeights(Weights):
    """The weights of a checkpoint, where keys and values have no bias."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """One weight: the checkpoint's, or the bias that the value's is part of."""
        if name.endswith(LEFT_OUT):
            raise KeyError(name)
        if not name.endswith(TAKES_IT):
            return self._weights[name]
        attention = name.removesuffix("output.bias")
        value = self._weights[f"{attention}value.bias"].astype(np.float64)
        moved = self._weights[f"{attention}output.weight"].astype(np.float64) @ value
        return (self._weights[name] + moved).astype(np.float32)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._weights if not name.endswith(LEFT_OUT))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._weights and not str(name).endswith(LEFT_OUT)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one weight, without reading it."""
        return self._weights.shape(name)
