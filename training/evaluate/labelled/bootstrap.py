"""Measures and the document of each example in, what the measures could as well have been out.

The bootstrap (Efron 1979): documents are drawn with replacement, as many as there are, all examples
of a document at once, since those tell of each other. The interval is that between percentiles of
the measure over all draws. Knows no model.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluate.labelled.weighted import Float64, Int64, Weighted

DRAWS = 2000
PERCENTILES = (2.5, 97.5)
SEED = 20181011
_NUMBERS_AT_ONCE = 1 << 22  # weights of some draws: 32 MiB


def draws(documents: Int64) -> Iterator[Float64]:
    """Weights of examples, float64 (some draws, N), `DRAWS` in all; the same each time.

    `documents` is int64 (N,), the number of each example's document, from 0 with no gap.
    """
    rng = np.random.default_rng(SEED)
    count = int(documents.max()) + 1
    step = max(1, _NUMBERS_AT_ONCE // len(documents))
    for start in range(0, DRAWS, step):
        rows = min(step, DRAWS - start)
        drawn = rng.integers(count, size=(rows, count)) + count * np.arange(rows)[:, None]
        often = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        yield often[:, documents].astype(np.float64)


def resampled(functions: Sequence[Weighted], documents: Int64) -> list[Float64]:
    """What each function gives for every draw: float64 (DRAWS,) or (DRAWS, K), by function."""
    parts: list[list[Float64]] = [[] for _ in functions]
    for weights in draws(documents):
        for function, found in zip(functions, parts, strict=True):
            found.append(function(weights))
    return [np.concatenate(found) for found in parts]


def limits(values: Float64) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ends of the 95 % interval of float64 (DRAWS, ...), passing over draws that have none.

    NaN where no draw has a value.
    """
    known = ~np.isnan(values)
    filled = np.where(known.any(axis=0), values, 0.0)
    low, high = np.nanpercentile(filled, PERCENTILES, axis=0)
    ends = (np.where(known.any(axis=0), end, np.nan) for end in (low, high))
    low, high = ends
    return low, high
