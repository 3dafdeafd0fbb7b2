"""The float32 graph, run by onnxruntime, against transformers in torch; and which rows it runs.

`export.check.parity` is compared with here as well as used: one test writes all the graph's inputs
by hand.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export.check import parity
from export.check.layers import Text
from export.graph.builder import GRAPH_FILE
from export.read.checkpoint import Checkpoint, read_checkpoint
from tests.export.built_graph import (
    BuiltGraph,
    build_graph,
    difference,
    nothing_wanted,
    some_and_all,
)
from tests.export.torch_bert import ARCHITECTURES, TorchBert, joined, real_texts, tiny_texts

TOLERANCE = 1e-4  # absolute, every output, tiny random models and real weights alike
SAME = 1e-5  # absolute, a row of the graph against itself in another batch

Save = Callable[..., Path]


def assert_outputs_are_torchs(graph: BuiltGraph, torch_bert: TorchBert, texts: list[Text]) -> None:
    found, wanted = graph.run(texts), joined([torch_bert(text) for text in texts])
    computed = set(found) - {"mlm_ids", "target_log_probabilities"}
    assert computed == set(wanted)
    for name, value in wanted.items():
        assert difference(found[name], value) <= TOLERANCE, name


@pytest.fixture(scope="module")
def tiny(pretraining: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    """The graph of the tiny BertForPreTraining, with the second layer to pool besides the last."""
    return build_graph(pretraining, tmp_path_factory.mktemp("tiny") / "graph", layers=(-2,))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_head_computes_what_transformers_does(
    save: Save, tmp_path: Path, architecture: str
) -> None:
    folder = save(architecture, num_labels=2 if "Question" in architecture else 5)
    graph = build_graph(read_checkpoint(folder), tmp_path / "graph")
    assert_outputs_are_torchs(graph, TorchBert(folder, architecture), tiny_texts())


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_new"},
        {"hidden_act": "gelu_pytorch_tanh"},
        {"tie_word_embeddings": False},
        {"layer_norm_eps": 0.3},
        {"num_hidden_layers": 1},
        {"num_attention_heads": 1},
        {"hidden_size": 15, "num_attention_heads": 5, "intermediate_size": 7},
    ],
    ids=str,
)
def test_every_choice_of_a_configuration_is_followed(
    save: Save, tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = save("BertForMaskedLM", **config)
    graph = build_graph(read_checkpoint(folder), tmp_path / "graph")
    assert_outputs_are_torchs(graph, TorchBert(folder, "BertForMaskedLM"), tiny_texts())


def test_minilm_computes_what_transformers_does(minilm_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(minilm_checkpoint)
    graph = build_graph(checkpoint, tmp_path / "graph")
    torch_bert = TorchBert(minilm_checkpoint, "BertModel")
    assert_outputs_are_torchs(graph, torch_bert, real_texts(checkpoint))


def test_standin_computes_what_transformers_does(standin_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(standin_checkpoint)
    graph = build_graph(checkpoint, tmp_path / "graph")
    torch_bert = TorchBert(standin_checkpoint, "BertForPreTraining")
    assert_outputs_are_torchs(graph, torch_bert, real_texts(checkpoint))


def test_batch_written_by_hand_gives_what_torch_gives(tiny: BuiltGraph, bert: Path) -> None:
    first = Text(np.array([2, 5, 3]), np.array([0, 0, 0]))
    second = Text(np.array([2, 9, 11, 7, 3]), np.array([0, 0, 1, 1, 1]))
    found = parity.run_feeds(
        tiny.session,
        {
            "input_ids": np.array([2, 5, 3, 2, 9, 11, 7, 3]),
            "token_type_ids": np.array([0, 0, 0, 0, 0, 1, 1, 1]),
            "position_ids": np.array([0, 1, 2, 0, 1, 2, 3, 4]),
            "pad_index": np.array([[0, 1, 2, 0, 0], [3, 4, 5, 6, 7]]),
            "unpad_index": np.array([0, 1, 2, 5, 6, 7, 8, 9]),
            "lengths": np.array([3, 5]),
            # Read: row 1 of the first text, rows 0 and 3 of the second.
            "read_index": np.array([1, 3, 6]),
            "read_pad_index": np.array([[0, 0], [1, 2]]),
            "read_unpad_index": np.array([0, 2, 3]),
            "mlm_index": np.array([2, 0]),
            "top_k": np.array([4]),
            "targets": np.array([[0, 13], [1, 8], [1, 66]]),
            "pooler_index": np.array([1]),
            "token_index": np.array([2]),
            # Behind the 3 read rows lie those of the layer before: all of the second text.
            "layer_-2_index": np.array([3, 4, 5, 6, 7]),
            "pool_index": np.array([[3, 4, 5, 6, 7], [1, 1, 1, 1, 1]]),
            "pool_weights": np.array([[[0.2] * 5], [[1, 0, 0, 0, 0]]], np.float32),
            "max_index": np.array([[1, 2]]),
        },
    )
    torch_bert = TorchBert(bert, "BertForPreTraining")
    one, two = torch_bert(first), torch_bert(second)
    scores = np.stack(
        [two.heads["mlm_log_probabilities"][3], one.heads["mlm_log_probabilities"][1]]
    )
    best = np.argsort(-scores, axis=1)[:, :4]
    np.testing.assert_array_equal(found["mlm_ids"], best)
    before, last = two.hidden[-2], two.hidden[-1]
    wanted = {
        "mlm_log_probabilities": np.take_along_axis(scores, best, axis=1),
        "target_log_probabilities": scores[[0, 1, 1], [13, 8, 66]],
        "nsp_logits": two.heads["nsp_logits"][None],
        "token_vectors": last[[3]],
        "pooled": np.stack([before.mean(axis=0), last[0]]),
        "pooled_max": last[[0, 3]].max(axis=0)[None],
    }
    assert set(wanted) == set(found) - {"mlm_ids"}
    for name, value in wanted.items():
        assert difference(found[name], value) <= TOLERANCE, name


def test_inner_layers_are_those_of_transformers(bert: Path, tmp_path: Path) -> None:
    graph = build_graph(read_checkpoint(bert), tmp_path / "graph", layers=(-3, -2))
    text = tiny_texts()[1]
    length = len(text.ids)
    feeds = parity.packed_feeds(graph.spec, [text], [[0]])
    feeds["layer_-3_index"] = feeds["layer_-2_index"] = np.arange(length)
    feeds["pool_index"] = np.arange(1, 1 + 2 * length)[:, None]
    feeds["pool_weights"] = np.ones((2 * length, 1, 1), np.float32)
    found = parity.run_feeds(graph.session, feeds)["pooled"]
    hidden = TorchBert(bert, "BertForPreTraining")(text).hidden
    assert len(hidden) == 4  # the embeddings and three layers
    assert difference(found, np.concatenate([hidden[-3], hidden[-2]])) <= TOLERANCE


def test_rows_that_are_read_do_not_depend_on_the_others_read(tiny: BuiltGraph) -> None:
    for name, some, everything in some_and_all(tiny, tiny_texts()):
        assert difference(some, everything) <= SAME, name


def test_text_does_not_depend_on_its_batch(tiny: BuiltGraph) -> None:
    texts = tiny_texts()
    together = tiny.run(texts)
    start = 0
    for index, text in enumerate(texts):
        alone, length = tiny.run([text]), len(text.ids)
        rows = slice(start, start + length)
        assert difference(alone["token_vectors"], together["token_vectors"][rows]) <= SAME
        assert difference(alone["nsp_logits"][0], together["nsp_logits"][index]) <= SAME
        assert difference(alone["pooled_max"][0], together["pooled_max"][index]) <= SAME
        start += length


def test_heads_without_rows_return_none(tiny: BuiltGraph) -> None:
    found = parity.run_feeds(tiny.session, nothing_wanted(tiny))
    assert {name: value.shape for name, value in found.items()} == {
        "pooled": (0, 12),
        "pooled_max": (0, 12),
        "mlm_log_probabilities": (0, 0),
        "mlm_ids": (0, 0),
        "target_log_probabilities": (0,),
        "nsp_logits": (0, 2),
        "token_vectors": (0, 12),
    }


@pytest.mark.parametrize(
    ("wanted", "outputs"),
    [
        ({"mlm_index", "top_k"}, {"mlm_log_probabilities", "mlm_ids"}),
        ({"pooler_index"}, {"nsp_logits"}),
        ({"token_index"}, {"token_vectors"}),
        ({"max_index"}, {"pooled_max"}),
    ],
    ids=lambda names: "+".join(sorted(names)),
)
def test_one_head_with_rows_leaves_the_others_without(
    tiny: BuiltGraph, wanted: set[str], outputs: set[str]
) -> None:
    everything = parity.packed_feeds(tiny.spec, tiny_texts()[:1], [[0]])
    feeds = nothing_wanted(tiny) | {name: everything[name] for name in wanted}
    found = parity.run_feeds(tiny.session, feeds)
    assert {name for name, value in found.items() if len(value)} == outputs


@pytest.mark.parametrize(
    ("architecture", "own"),
    [
        ("BertModel", set()),
        ("BertForTokenClassification", {"token_logits"}),
        ("BertForSequenceClassification", {"sequence_logits"}),
        ("BertForNextSentencePrediction", {"nsp_logits"}),
        ("BertForQuestionAnswering", {"qa_logits"}),
    ],
)
def test_graph_has_no_head_that_the_checkpoint_lacks(
    save: Save, tmp_path: Path, architecture: str, own: set[str]
) -> None:
    graph = build_graph(read_checkpoint(save(architecture)), tmp_path / "graph")
    outputs = {node.name for node in graph.session.get_outputs()}
    assert outputs == {"token_vectors", "pooled", "pooled_max"} | own
    assert not {"mlm_index", "targets"} & {node.name for node in graph.session.get_inputs()}


def test_products_see_no_padding_and_the_last_layer_only_read_rows(tiny: BuiltGraph) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(tiny.folder / GRAPH_FILE))
    rows = {
        value.name: value.type.tensor_type.shape.dim[0].dim_param
        for value in model.graph.value_info
    }
    products = [
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Gemm" and node.name.startswith("layers.")
    ]
    inner = [name for name in products if not name.startswith("layers.2/")]
    assert len(inner) == 2 * 6
    assert {rows[name] for name in inner} == {"tokens"}
    last = [rows[name] for name in products if name.startswith("layers.2/")]
    # Keys and values of all; the query, the attention output and two of the feed-forward.
    assert last == ["tokens"] * 2 + ["reads"] * 4


def test_activation_that_no_config_allows_is_refused(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    object.__setattr__(checkpoint.config, "hidden_act", "swish")
    with pytest.raises(ValueError, match="found 'swish'"):
        build_graph(checkpoint, tmp_path / "graph")
