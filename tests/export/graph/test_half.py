"""float16 on the CPU, where ONNX Runtime computes what it has no kernel for between casts.

That shows what rounding to float16 changes and that nothing overflows; what a GPU's kernels add to
it is not measured here.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from export.architectures.registry import count_parameters
from export.check import parity
from export.check.layers import Text
from export.check.quantization_error import measure_quantization_error
from export.errors import ExportError
from export.graph.builder import DATA_FILE, GRAPH_FILE
from export.graph.linear import HalfLinear, Linear
from export.read.checkpoint import Checkpoint, read_checkpoint
from tests.export.built_graph import (
    BuiltGraph,
    MemoryWeights,
    build_graph,
    difference,
    nothing_wanted,
    some_and_all,
)
from tests.export.torch_bert import ARCHITECTURES, TorchBert, joined, real_texts, tiny_texts

TINY = 0.1  # absolute, every output of tiny random models, whose attention is sharp
REAL = 0.03  # the same of real weights: 0.006 and 0.014 were measured
# A text against itself in another batch. 1e-8 was measured; where sums of another order fall to
# the other side of a rounding, a row changes by a step of float16, 0.002 for numbers up to 4.
SAME = 0.01
COSINE = 0.99999  # worst, of mean-pooled vectors in float16 and float32
AGREEMENT = 0.99  # of the best word at the stand-in's masks

Save = Callable[..., Path]


def assert_outputs_are_torchs(
    graph: BuiltGraph, torch_bert: TorchBert, texts: list[Text], tolerance: float
) -> None:
    found, wanted = graph.run(texts), joined([torch_bert(text) for text in texts])
    for name, value in wanted.items():
        assert found[name].dtype == np.float32
        assert difference(found[name], value) <= tolerance, name


def half_graph(checkpoint: Checkpoint, folder: Path) -> BuiltGraph:
    return build_graph(checkpoint, folder, linear=HalfLinear, layers=(-2,))


@pytest.fixture(scope="module")
def tiny(pretraining: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    """The tiny BertForPreTraining in float16."""
    return half_graph(pretraining, tmp_path_factory.mktemp("tiny") / "graph")


@pytest.fixture(scope="module")
def minilm(minilm_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(minilm_checkpoint)


@pytest.fixture(scope="module")
def minilm_half(minilm: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    return half_graph(minilm, tmp_path_factory.mktemp("half") / "minilm")


@pytest.fixture(scope="module")
def standin(standin_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(standin_checkpoint)


@pytest.fixture(scope="module")
def standin_half(standin: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    return half_graph(standin, tmp_path_factory.mktemp("half") / "standin")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_head_computes_what_transformers_does(
    save: Save, tmp_path: Path, architecture: str
) -> None:
    folder = save(architecture, num_labels=2 if "Question" in architecture else 5)
    graph = build_graph(read_checkpoint(folder), tmp_path / "graph", linear=HalfLinear)
    assert_outputs_are_torchs(graph, TorchBert(folder, architecture), tiny_texts(), TINY)


def test_separate_decoder_computes_what_transformers_does(save: Save, tmp_path: Path) -> None:
    folder = save("BertForMaskedLM", tie_word_embeddings=False)
    graph = build_graph(read_checkpoint(folder), tmp_path / "graph", linear=HalfLinear)
    assert_outputs_are_torchs(graph, TorchBert(folder, "BertForMaskedLM"), tiny_texts(), TINY)


def test_inputs_and_outputs_are_those_of_float32(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    float32, float16 = (
        build_graph(checkpoint, tmp_path / linear.__name__, linear=linear, layers=(-2,)).session
        for linear in (Linear, HalfLinear)
    )
    for nodes in ("get_inputs", "get_outputs"):
        ours, theirs = (
            [(node.name, node.type, node.shape) for node in getattr(session, nodes)()]
            for session in (float16, float32)
        )
        assert ours == theirs


def test_encoder_is_float16_and_heads_are_float32(tiny: BuiltGraph) -> None:
    graph = onnx.load(tiny.folder / GRAPH_FILE, load_external_data=False).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    halves = {name for name, dtype in types.items() if dtype == TensorProto.FLOAT16}
    floats = {name for name, dtype in types.items() if dtype == TensorProto.FLOAT}
    assert {name.split(".")[0] for name in halves} == {"embeddings", "layers", "mlm"}
    assert {name for name in halves if name.startswith("mlm")} == {"mlm.decoder.bias.float16"}
    assert {name.split(".")[0] for name in floats} == {"mlm", "nsp", "pooler"}


def test_tied_table_is_one_tensor_that_both_ends_read(tiny: BuiltGraph) -> None:
    graph = onnx.load(tiny.folder / GRAPH_FILE, load_external_data=False).graph
    tables = [tensor.name for tensor in graph.initializer if list(tensor.dims) == [67, 12]]
    assert tables == ["embeddings.word.float16"]
    readers = {node.op_type for node in graph.node if tables[0] in node.input}
    assert readers == {"Gather", "Gemm"}


def test_heads_without_rows_return_none(tiny: BuiltGraph) -> None:
    found = parity.run_feeds(tiny.session, nothing_wanted(tiny))
    assert {name: len(value) for name, value in found.items()} == dict.fromkeys(found, 0)


def test_weight_beyond_float16_is_refused_by_name(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    arrays = {name: checkpoint.weights[name].copy() for name in checkpoint.weights}
    arrays["layers.1.intermediate.weight"][0, 0] = -7e4
    changed = dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))
    with pytest.raises(ExportError, match=r"layers\.1\.intermediate\.weight .* export in fp32"):
        half_graph(changed, tmp_path / "graph")


def test_weights_at_the_ends_of_float16_are_kept(bert: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(bert)
    arrays = {name: checkpoint.weights[name].copy() for name in checkpoint.weights}
    # One word that no text has: the table holds it, no sum meets it but the logits of that word.
    arrays["embeddings.word"][66] = 0
    arrays["embeddings.word"][66, :2] = 65504, 1e-9
    changed = dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))
    graph = half_graph(changed, tmp_path / "graph")
    found = graph.run([Text(np.array([2, 5, 3]), np.zeros(3, np.int64))])
    assert np.isfinite(found["token_vectors"]).all()


def test_minilm_computes_what_transformers_does(
    minilm: Checkpoint, minilm_half: BuiltGraph, minilm_checkpoint: Path
) -> None:
    torch_bert = TorchBert(minilm_checkpoint, "BertModel")
    texts = real_texts(minilm)
    assert difference(minilm_half.run(texts)["pooled_max"], joined_max(torch_bert, texts)) <= REAL
    drift = measure_quantization_error(
        minilm_half.session, minilm.weights, minilm_half.spec, minilm.tokenizer_json
    )
    assert COSINE <= drift["embedding_cosine_worst"] <= 1 + 1e-6


def joined_max(torch_bert: TorchBert, texts: list[Text]) -> NDArray[np.float32]:
    return joined([torch_bert(text) for text in texts])["pooled_max"]


def test_standin_stays_near_float32(standin: Checkpoint, standin_half: BuiltGraph) -> None:
    graph = standin_half
    found = parity.measure_parity(graph.session, standin.weights, graph.spec)
    assert 0 < max(found.values()) <= REAL
    drift = measure_quantization_error(
        graph.session, standin.weights, graph.spec, standin.tokenizer_json
    )
    assert drift["mlm_masks"] >= 1000
    assert AGREEMENT <= drift["mlm_top1_agreement"] <= 1
    assert COSINE <= drift["embedding_cosine_worst"] <= 1 + 1e-6
    assert drift["mlm_log_probability_mean_abs"] <= 0.002  # 0.0005 was measured


def test_float16_takes_half_of_float32(standin: Checkpoint, standin_half: BuiltGraph) -> None:
    parameters = count_parameters(standin.config, standin.heads)
    size = (standin_half.folder / DATA_FILE).stat().st_size
    heads = sum(parameters.get(head, 0) for head in ("mlm", "nsp", "pooler"))
    assert 2 * parameters["total"] < size < 2 * parameters["total"] + 2.1 * heads


def with_words_at_cls(graph: BuiltGraph, texts: list[Text]) -> dict[str, NDArray[np.generic]]:
    """All rows, and the best words at the first of each text only: sorting a vocabulary is slow."""
    feeds = parity.packed_feeds(graph.spec, texts, [range(len(text.ids)) for text in texts])
    feeds["mlm_index"] = feeds["pooler_index"]
    feeds["top_k"] = np.array([5])
    feeds["targets"] = np.array([[row, 0] for row in range(len(texts))])
    return parity.run_feeds(graph.session, feeds)


def longest(checkpoint: Checkpoint) -> Text:
    """As many random tokens as the model has positions."""
    count = checkpoint.config.max_position_embeddings
    ids = np.random.default_rng(3).integers(0, checkpoint.config.vocab_size, count)
    return Text(ids, np.zeros(count, np.int64))


@pytest.mark.parametrize("model", ["minilm", "standin"])
def test_text_is_finite_and_the_same_beside_the_longest(
    model: str, request: pytest.FixtureRequest
) -> None:
    checkpoint: Checkpoint = request.getfixturevalue(model)
    graph: BuiltGraph = request.getfixturevalue(f"{model}_half")
    # Most slots of the short texts' rows are padding then.
    texts = [*real_texts(checkpoint), longest(checkpoint)]
    together = with_words_at_cls(graph, texts)
    assert all(np.isfinite(value).all() for value in together.values())
    start = 0
    for index, text in enumerate(texts):
        alone, length = with_words_at_cls(graph, [text]), len(text.ids)
        rows = slice(start, start + length)
        assert difference(alone["token_vectors"], together["token_vectors"][rows]) <= SAME
        assert difference(alone["pooled"][0], together["pooled"][index]) <= SAME
        assert difference(alone["pooled_max"][0], together["pooled_max"][index]) <= SAME
        start += length


def test_rows_do_not_depend_on_the_others_read(tiny: BuiltGraph) -> None:
    for name, some, everything in some_and_all(tiny, tiny_texts()):
        assert difference(some, everything) <= SAME, name
