"""Vectors in, the same in fewer bytes out, as sentence-transformers' `quantize_embeddings` does it.

A bit for each number says whether it is above 0, eight of them to a byte. A byte for each number
counts 256 even steps of a range. The library takes ranges from texts that it was calibrated with; a
server has none, and those of a request would make a text's answer depend on its company. So a
vector's range is its own, from -m to m where m is its largest number: cosines stay what they were
but for rounding.
"""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Dtype = Literal["float", "int8", "uint8", "binary", "ubinary"]

_STEPS: Final = 255
_SIGN: Final = np.uint8(128)  # flipped, an unsigned byte is the signed one that is less by 128


def quantised(vectors: NDArray[np.float32], dtype: Dtype) -> NDArray[Any]:
    """float32 (n, D) -> float32 or bytes (n, D), or the bytes of bits (n, D / 8), rounded up.

    >>> one = np.array([[0.5, -1.0, 0.0, 1.0]], np.float32)
    >>> quantised(one, "uint8").tolist(), quantised(one, "int8").tolist()
    ([[191, 0, 127, 254]], [[63, -128, -1, 126]])
    >>> quantised(one, "ubinary").tolist(), quantised(one, "binary").tolist()
    ([[144]], [[16]])
    """
    if dtype == "float":
        return vectors
    unsigned = _bits(vectors) if dtype in {"binary", "ubinary"} else _levels(vectors)
    return unsigned if dtype in {"uint8", "ubinary"} else (unsigned ^ _SIGN).view(np.int8)


def _bits(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.packbits(vectors > 0, axis=-1)


def _levels(vectors: NDArray[np.float32]) -> NDArray[np.uint8]:
    most = np.abs(vectors).max(axis=-1, keepdims=True)
    steps = (most - -most) / np.float32(_STEPS)
    steps[steps == 0] = 1
    levels: NDArray[np.uint8] = np.clip(np.floor((vectors + most) / steps), 0, _STEPS).astype(
        np.uint8
    )
    return levels
