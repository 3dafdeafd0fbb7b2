"""The one product of queries, keys and values, and the inputs of other attention operators."""

from pathlib import Path

import numpy as np

from benchmarks.gpu.bert import SIZES, Bert
from benchmarks.gpu.variants import PackedOneProduct, places
from export.builder import GraphBuilder
from export.half import HalfLinear
from server.inference.runtime.packing import Batch, Encoding, Item, SentenceVector


def test_one_product_is_the_three_side_by_side_in_each_head(tmp_path: Path) -> None:
    bert = Bert("tiny", "")
    _, hidden, heads = SIZES["tiny"]
    parts = [f"layers.1.attention.{part}" for part in ("query", "key", "value")]
    with GraphBuilder(tmp_path) as builder:
        linear = HalfLinear(builder, bert.weights)
        graph = PackedOneProduct(builder, bert.spec, bert.weights, linear)
        weight, bias = (graph._interleaved(parts, kind) for kind in ("weight", "bias"))
    rows = np.random.default_rng(3).standard_normal((5, hidden)).astype(np.float32)
    product = (rows @ weight.T.astype(np.float32) + bias).reshape(5, heads, 3, hidden // heads)
    for number, part in enumerate(parts):
        wanted = rows @ bert.weights[f"{part}.weight"].T + bert.weights[f"{part}.bias"]
        found = product[:, :, number].reshape(5, hidden)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=0.02)


def test_places_name_each_slot_once_and_texts_end_to_end() -> None:
    lengths = (3, 7, 1)
    items = [
        Item(
            Encoding(np.ones(length, np.int64), np.zeros(length, np.int64)), SentenceVector("mean")
        )
        for length in lengths
    ]
    made = places(dict(Batch(items).feeds()))
    offset = made["token_offset"]
    assert offset.dtype == made["cumulative_lengths"].dtype == made["key_places"].dtype == np.int32
    assert sorted(offset.reshape(-1).tolist()) == list(range(3 * 7))
    assert offset.reshape(-1)[: sum(lengths)].tolist() == [0, 1, 2, *range(7, 14), 14]
    assert made["cumulative_lengths"].tolist() == [0, 3, 10, 11]
