"""The feeds of a batch -> the same batch in one shape of few: each dimension a power of two.

A CUDA graph replays kernels that were recorded for one shape. What is added is computed and read
by nobody: tokens of no text, texts that repeat a row, rows that no head of the batch reads.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]
TAPPED = "layer_-2_index"


@dataclass(frozen=True)
class Shape:
    """Every dimension that the graph's inputs have in common."""

    tokens: int
    texts: int
    longest: int
    reads: int
    queries: int
    masks: int
    targets: int
    top_k: int
    pairs: int
    token_rows: int
    pooled: int
    pool_rows: int
    maxima: int
    max_rows: int
    tapped: int

    @classmethod
    def of(cls, feeds: Feeds) -> "Shape":
        """The shape of a batch."""
        texts, longest = feeds["pad_index"].shape
        pooled, pool_rows = feeds["pool_index"].shape
        maxima, max_rows = feeds["max_index"].shape
        return cls(
            tokens=len(feeds["input_ids"]),
            texts=texts,
            longest=longest,
            reads=len(feeds["read_index"]),
            queries=feeds["read_pad_index"].shape[1],
            masks=len(feeds["mlm_index"]),
            targets=len(feeds["targets"]),
            top_k=int(feeds["top_k"][0]),
            pairs=len(feeds["pooler_index"]),
            token_rows=len(feeds["token_index"]),
            pooled=pooled,
            pool_rows=pool_rows,
            maxima=maxima,
            max_rows=max_rows,
            tapped=len(feeds[TAPPED]) if TAPPED in feeds else 0,
        )

    def grown(self) -> "Shape":
        """The next power of two in each dimension, 1 for none, so that no tensor is empty."""
        return Shape(*(power_of_two(size) for size in astuple(self)))

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


def power_of_two(size: int) -> int:
    """The least power of two that is not below `size`.

    >>> [power_of_two(size) for size in (0, 1, 3, 16, 17)]
    [1, 1, 4, 16, 32]
    """
    return 1 << max(0, size - 1).bit_length()


def padded(feeds: Feeds, shape: Shape) -> dict[str, Array]:
    """The same batch in a larger shape."""
    own = Shape.of(feeds)
    vectors = {
        "input_ids": shape.tokens,
        "token_type_ids": shape.tokens,
        "position_ids": shape.tokens,
        "read_index": shape.reads,
        "mlm_index": shape.masks,
        "pooler_index": shape.pairs,
        "token_index": shape.token_rows,
    }
    if TAPPED in feeds:
        vectors[TAPPED] = shape.tapped
    grown: dict[str, Array] = {
        name: _longer(feeds[name], length) for name, length in vectors.items()
    }
    lengths = np.ones(shape.texts, np.int64)  # a text of no tokens would divide by zero
    lengths[: own.texts] = feeds["lengths"]
    targets = np.zeros((shape.targets, 2), np.int64)
    targets[: own.targets] = feeds["targets"]
    # Rows of the tapped layer come behind the read rows, which are more now.
    pool, most = feeds["pool_index"], feeds["max_index"]
    weights = np.zeros((shape.pooled, 1, shape.pool_rows), np.float32)
    weights[: own.pooled, :, : own.pool_rows] = feeds["pool_weights"]
    return grown | {
        "pad_index": _wider(feeds["pad_index"], shape.texts, shape.longest),
        "unpad_index": _longer(
            _moved(feeds["unpad_index"], own.longest, shape.longest), shape.tokens
        ),
        "lengths": lengths,
        "read_pad_index": _wider(feeds["read_pad_index"], shape.texts, shape.queries),
        "read_unpad_index": _longer(
            _moved(feeds["read_unpad_index"], own.queries, shape.queries), shape.reads
        ),
        "targets": targets,
        "top_k": np.array([shape.top_k], np.int64),
        "pool_index": _wider(_behind(pool, own, shape), shape.pooled, shape.pool_rows),
        "pool_weights": weights,
        "max_index": _wider(_behind(most, own, shape), shape.maxima, shape.max_rows),
    }


def trimmed(outputs: Feeds, own: Shape) -> dict[str, Array]:
    """The outputs of the larger shape without what was added."""
    ends: dict[str, tuple[slice, ...]] = {
        "mlm_log_probabilities": (slice(own.masks), slice(own.top_k)),
        "mlm_ids": (slice(own.masks), slice(own.top_k)),
        "target_log_probabilities": (slice(own.targets),),
        "nsp_logits": (slice(own.pairs),),
        "sequence_logits": (slice(own.pairs),),
        "token_vectors": (slice(own.token_rows),),
        "token_logits": (slice(own.token_rows),),
        "qa_logits": (slice(own.token_rows),),
        "pooled": (slice(own.pooled),),
        "pooled_max": (slice(own.maxima),),
    }
    return {name: output[ends[name]] for name, output in outputs.items()}


def _longer(values: Array, length: int) -> Array:
    """Zeros behind the values."""
    grown = np.zeros(length, values.dtype)
    grown[: len(values)] = values
    return grown


def _wider(index: Array, rows: int, columns: int) -> Array:
    """Each row repeats its first entry; added rows read row 0."""
    grown = np.zeros((rows, columns), index.dtype)
    if len(index):
        grown[: len(index)] = index[:, :1]
        grown[: len(index), : index.shape[1]] = index
    return grown


def _moved(slots: Array, width: int, wider: int) -> Array:
    """The flat slots of a rectangle that has become wider.

    >>> _moved(np.array([0, 1, 3, 4, 5]), 3, 4).tolist()
    [0, 1, 4, 5, 6]
    """
    places = slots.astype(np.int64)
    return places // width * wider + places % width


def _behind(rows: Array, own: Shape, shape: Shape) -> Array:
    numbers = rows.astype(np.int64)
    return numbers + (shape.reads - own.reads) * (numbers >= own.reads)
