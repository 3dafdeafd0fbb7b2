"""Vectors in fewer bytes, against sentence-transformers' `quantize_embeddings`."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from sentence_transformers.util import quantize_embeddings

from server.inference.tasks.quantised import Dtype, quantised

ROWS = np.random.default_rng(5).normal(size=(7, 37)).astype(np.float32)
ROWS[3] = 0
ROWS[5] *= 1e-6


@pytest.mark.parametrize("dtype", ["binary", "ubinary"])
def test_bits_are_those_of_the_library(dtype: Dtype) -> None:
    found, wanted = quantised(ROWS, dtype), quantize_embeddings(ROWS, dtype)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_levels_are_those_of_the_library_for_the_range_of_each_vector(dtype: Dtype) -> None:
    for row in ROWS:
        most = np.abs(row).max()
        ranges = np.stack([np.full_like(row, -most), np.full_like(row, most)])
        wanted = quantize_embeddings(row[None], dtype, ranges=ranges)
        found = quantised(row[None], dtype)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_a_vector_is_the_same_alone_and_in_company(dtype: Dtype) -> None:
    together = quantised(ROWS, dtype)
    np.testing.assert_array_equal(
        together, np.concatenate([quantised(row[None], dtype) for row in ROWS])
    )


def test_cosines_survive_int8() -> None:
    rows = np.delete(ROWS, 3, axis=0)

    def cosines(vectors: np.ndarray) -> np.ndarray:
        wide = vectors.astype(np.float64)
        unit = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return np.asarray(unit @ unit.T)

    assert np.abs(cosines(quantised(rows, "int8")) - cosines(rows)).max() < 0.01
