"""The comparison itself: its inputs against ones written by hand; that it finds what is wrong."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.check import parity, reference
from export.check.layers import Text
from export.graph.packed import GraphSpec
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.config import EncoderConfig
from tests.export.built_graph import BuiltGraph, MemoryWeights, build_graph, difference
from tests.export.torch_bert import tiny_texts

CONFIG = EncoderConfig(67, 12, 3, 2, 20, 29, 2, "gelu")
HEADS = ("mlm", "nsp", "pooler")

Save = Callable[..., Path]


@pytest.fixture(scope="module")
def checkpoint(pretraining: Checkpoint) -> Checkpoint:
    """The tiny BertForPreTraining."""
    return pretraining


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    """Its graph, with the second layer to pool besides the last."""
    return build_graph(checkpoint, tmp_path_factory.mktemp("parity") / "graph", layers=(-2,))


def changed(checkpoint: Checkpoint, name: str, value: float, *, first: int = 0) -> MemoryWeights:
    """The checkpoint's weights with the elements of `name` from `first` on increased by `value`."""
    arrays = {key: checkpoint.weights[key].copy() for key in checkpoint.weights}
    arrays[name].reshape(-1)[first:] += np.float32(value)
    return MemoryWeights(arrays)


def test_feeds_of_two_texts_are_those_written_by_hand() -> None:
    texts = [
        Text(np.array([2, 5, 3]), np.array([0, 0, 0])),
        Text(np.array([2, 9, 11, 7, 3]), np.array([0, 0, 1, 1, 1])),
    ]
    spec = GraphSpec(CONFIG, HEADS, layers=(-2,))
    feeds = parity.packed_feeds(spec, texts, [[0, 2], [0, 3, 4]])
    wanted = {
        "input_ids": [2, 5, 3, 2, 9, 11, 7, 3],
        "token_type_ids": [0, 0, 0, 0, 0, 1, 1, 1],
        "position_ids": [0, 1, 2, 0, 1, 2, 3, 4],
        "pad_index": [[0, 1, 2, 0, 0], [3, 4, 5, 6, 7]],
        "unpad_index": [0, 1, 2, 5, 6, 7, 8, 9],
        "lengths": [3, 5],
        "read_index": [0, 2, 3, 6, 7],
        "read_pad_index": [[0, 1, 0], [2, 3, 4]],
        "read_unpad_index": [0, 1, 3, 4, 5],
        "mlm_index": [0, 1, 2, 3, 4],
        "token_index": [0, 1, 2, 3, 4],
        "top_k": [67],
        "targets": [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0]],
        "pooler_index": [0, 2],
        "layer_-2_index": [0, 3],
        "pool_index": [[0, 1, 0], [2, 3, 4], [5, 5, 5], [6, 6, 6]],
        "max_index": [[0, 1, 0], [2, 3, 4]],
    }
    weights = feeds.pop("pool_weights")
    assert weights.dtype == np.float32
    third = np.float32(1 / 3)
    wanted_weights = [[[0.5, 0.5, 0]], [[third] * 3], [[1, 0, 0]], [[1, 0, 0]]]
    np.testing.assert_array_equal(weights, np.array(wanted_weights, np.float32))
    assert {name: feed.tolist() for name, feed in feeds.items()} == wanted
    assert {feed.dtype for feed in feeds.values()} == {np.dtype(np.int64)}


def test_texts_are_ragged_with_pairs_among_them() -> None:
    texts = parity.random_texts(dataclasses.replace(CONFIG, max_position_embeddings=512))
    assert len({len(text.ids) for text in texts}) == len(texts) > 2
    assert {tuple(np.unique(text.type_ids)) for text in texts} == {(0,), (0, 1)}
    assert all(text.ids.shape == text.type_ids.shape for text in texts)


@pytest.mark.parametrize(
    "small", [{"max_position_embeddings": 5}, {"vocab_size": 3}, {"type_vocab_size": 1}], ids=str
)
def test_texts_stay_within_the_model(small: dict[str, int]) -> None:
    config = dataclasses.replace(CONFIG, **small)  # type: ignore[arg-type]
    for text in parity.random_texts(config):
        assert 0 < len(text.ids) <= config.max_position_embeddings
        assert text.ids.max() < config.vocab_size
        assert text.type_ids.max() < config.type_vocab_size


def test_true_graph_is_within_tolerance(checkpoint: Checkpoint, graph: BuiltGraph) -> None:
    found = parity.measure_parity(graph.session, checkpoint.weights, graph.spec)
    assert set(found) == {
        "token_vectors",
        "pooled",
        "pooled_max",
        "mlm_log_probabilities",
        "target_log_probabilities",
        "nsp_logits",
    }
    assert 0 < max(found.values()) <= parity.TOLERANCE


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("mlm.norm.bias", {"mlm_log_probabilities", "target_log_probabilities"}),
        ("nsp.bias", {"nsp_logits"}),
        ("pooler.bias", {"nsp_logits"}),
        (
            "layers.2.output.norm.bias",
            {
                "token_vectors",
                "pooled",
                "pooled_max",
                "mlm_log_probabilities",
                "target_log_probabilities",
                "nsp_logits",
            },
        ),
    ],
)
def test_each_output_is_compared(
    checkpoint: Checkpoint, graph: BuiltGraph, name: str, outputs: set[str]
) -> None:
    other = changed(checkpoint, name, 0.5)
    found = parity.measure_parity(graph.session, other, graph.spec)
    assert {output for output, value in found.items() if value > parity.TOLERANCE} == outputs


@pytest.mark.parametrize(
    "name", ["embeddings.token_type", "embeddings.position", "layers.0.attention.key.weight"]
)
def test_every_part_of_the_encoder_is_compared(
    checkpoint: Checkpoint, graph: BuiltGraph, name: str
) -> None:
    last = checkpoint.weights[name].size - 1  # of segment 1, of the last position
    other = changed(checkpoint, name, 0.5, first=last)
    found = parity.measure_parity(graph.session, other, graph.spec)
    assert found["token_vectors"] > parity.TOLERANCE


def test_difference_is_the_largest_of_both_batches(
    checkpoint: Checkpoint, graph: BuiltGraph
) -> None:
    other = changed(checkpoint, "layers.2.output.weight", 0.5)
    texts = parity.random_texts(checkpoint.config)
    encoded = reference.encode(other, checkpoint.config, texts)
    batches = {}
    for name, reads in (
        ("all", [list(range(len(text.ids))) for text in texts]),
        ("few", [[0, len(text.ids) - 1] for text in texts]),
    ):
        found = graph.run(texts, reads)
        wanted = parity.expected(other, graph.spec, encoded, reads)
        batches[name] = {key: difference(found[key], value) for key, value in wanted.items()}
    # Each batch is the worse one of some output, so that neither can be left out unnoticed.
    assert batches["all"]["token_vectors"] > batches["few"]["token_vectors"]
    assert batches["few"]["pooled"] > batches["all"]["pooled"]
    measured = parity.measure_parity(graph.session, other, graph.spec)
    for output, value in measured.items():
        assert value == pytest.approx(max(batch[output] for batch in batches.values()))


def test_nan_in_an_output_counts_as_infinite(checkpoint: Checkpoint, tmp_path: Path) -> None:
    broken = dataclasses.replace(checkpoint, weights=changed(checkpoint, "nsp.bias", np.nan))
    graph = build_graph(broken, tmp_path / "graph")
    assert np.isnan(graph.run(tiny_texts())["nsp_logits"]).any()
    found = parity.measure_parity(graph.session, checkpoint.weights, graph.spec)
    assert found["nsp_logits"] == np.inf
    assert found["token_vectors"] <= parity.TOLERANCE


def test_scores_come_in_the_order_of_the_vocabulary(
    checkpoint: Checkpoint, graph: BuiltGraph
) -> None:
    texts = tiny_texts()
    found = graph.run(texts)["mlm_log_probabilities"]
    rows = reference.encode(checkpoint.weights, checkpoint.config, texts)
    packed = np.concatenate([text.last for text in rows])
    wanted = reference.masked_language_model(checkpoint.weights, checkpoint.config, packed)
    assert difference(found, wanted) <= parity.TOLERANCE
    assert (np.diff(found, axis=1) > 0).any(), "not sorted best first"


def test_feeds_of_heads_that_a_graph_lacks_are_left_out(save: Save, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save("BertForTokenClassification", num_labels=5))
    graph = build_graph(checkpoint, tmp_path / "graph")
    feeds = parity.packed_feeds(graph.spec, tiny_texts(), [[0]] * 5)
    assert "mlm_index" in feeds
    assert parity.run_feeds(graph.session, feeds)["token_logits"].shape == (5, 5)
