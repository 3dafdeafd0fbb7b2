"""Useful operations against a count by hand, product by product."""

import numpy as np
import pytest

from benchmarks.variants.operations import operations
from export.config import BertConfig
from models.heads import NSP, SEQUENCE
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskScores,
    OutputSpec,
    PooledLogits,
    SentenceVector,
)

V, H, L, HEADS, INNER = 29, 12, 3, 4, 20
CONFIG = BertConfig(V, H, L, HEADS, INNER, "gelu", 64, 2, 1e-12, (), multi_label=False)
T = 7


def item(want: OutputSpec, tokens: int = T) -> Item:
    zeros = np.zeros(tokens, np.int64)
    return Item(Encoding(zeros, zeros), want)


def product(rows: int, inner: int, out: int) -> int:
    return 2 * rows * inner * out


def layer(tokens: int, reads: int) -> int:
    """A layer that computes keys and values of all tokens, the rest for the rows that are read."""
    keys_and_values = 2 * product(tokens, H, H)
    attention = 2 * product(reads, H, tokens)  # all heads together: scores, and their sums
    rest = 2 * product(reads, H, H) + product(reads, H, INNER) + product(reads, INNER, H)
    return keys_and_values + attention + rest


def test_vector_of_a_text_reads_every_row() -> None:
    assert operations([item(SentenceVector("mean"))], CONFIG) == 3 * layer(T, T) + 2 * T * H


def test_masks_read_their_rows_and_the_vocabulary() -> None:
    heads = product(2, H, H) + product(2, H, V)
    found = operations([item(MaskScores((1, 4), 5))], CONFIG)
    assert found == 2 * layer(T, T) + layer(T, 2) + heads


def test_pair_reads_one_row() -> None:
    heads = product(1, H, H) + product(1, H, 2)
    assert operations([item(PooledLogits(NSP))], CONFIG) == 2 * layer(T, T) + layer(T, 1) + heads


def test_company_costs_nothing() -> None:
    both = [item(PooledLogits(NSP)), item(SentenceVector("mean"), tokens=40)]
    assert operations(both, CONFIG) == sum(operations([one], CONFIG) for one in both)


def test_what_is_not_counted_is_an_error() -> None:
    with pytest.raises(ValueError, match="PooledLogits"):
        operations([item(PooledLogits(SEQUENCE))], CONFIG)
