"""int8 against its formula in NumPy, bit by bit; what it costs on the stand-in, measured."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto

from export.architectures.registry import count_parameters
from export.check import parity
from export.check.layers import Text, activation
from export.check.quantization_error import measure_quantization_error
from export.graph.builder import DATA_FILE, GRAPH_FILE, GraphBuilder
from export.graph.packed import LEAST
from export.graph.quantize import SCALE_BITS, Int8Linear, quantise_rows, round_to_bits
from export.graph.smoothing import smoothed
from export.read.checkpoint import Checkpoint, read_checkpoint
from tests.export.built_graph import (
    BuiltGraph,
    MemoryWeights,
    build_graph,
    compute,
    nothing_wanted,
)

COSINE = 0.999  # mean, of mean-pooled vectors of the stand-in in int8 and float32
AGREEMENT = 0.965  # of the best word at the stand-in's masks
ROWS, IN, OUT, VOCABULARY = 5, 43, 17, 301
RNG = np.random.default_rng(7)
BOUNDS = (None, -0.1701, 0.0)  # of what goes in: none known, GELU's, ReLU's
Float32 = NDArray[np.float32]


def normal(*shape: int) -> Float32:
    values: Float32 = RNG.standard_normal(shape, dtype=np.float32)
    return values


LAYER = {"layer.weight": normal(OUT, IN), "layer.bias": normal(OUT)}
WORDS = {"embeddings.word": normal(VOCABULARY, IN), "mlm.decoder.bias": normal(VOCABULARY)}
OWN_DECODER = WORDS | {"mlm.decoder.weight": normal(VOCABULARY, IN)}


def formula(
    x: Float32, weight: Float32, bias: Float32, *, peak: Float32 | None = None, zero: int = 128
) -> Float32:
    """The module's docstring, step by step in float32: (rows, in) -> (rows, out)."""
    if peak is None:
        peak = np.abs(x).max(axis=1, keepdims=True)
    step = peak * np.float32(1 / (255 - zero))
    q = np.clip(np.rint(x / step) + zero, 0, 255).astype(np.uint8)
    quantised = quantise_rows(weight)
    integers = (q.astype(np.int32) - zero) @ quantised.values.astype(np.int32).T
    product: Float32 = integers.astype(np.float32) * quantised.scale
    scaled: Float32 = product * step + bias
    return scaled


def project(folder: Path, x: Float32, *, least: float | None = None) -> Float32:
    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(LAYER))
        rows = linear.rows(graph.input("x", TensorProto.FLOAT, ["rows", IN]), least=least)
        return linear.project(rows, "layer")

    return compute(folder, make, {"x": x})


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_error_of_a_weight_is_at_most_half_a_step(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((3, 19), dtype=np.float32) * np.float32(10.0**exponent)
    found = quantise_rows(matrix)
    error = np.abs(found.values * found.scale[:, None].astype(np.float64) - matrix)
    assert (error <= found.scale[:, None] * (0.5 + 1e-4)).all()
    # The largest of each row takes the last level: no range is wasted, -128 is never used.
    assert (np.abs(found.values.astype(int)).max(axis=1) == 127).all()


def test_each_row_has_its_own_scale() -> None:
    matrix = np.array([[1.2, -2, 0.5], [90, 50, -200]], np.float32)
    found = quantise_rows(matrix)
    scale = round_to_bits(np.array([2, 200], np.float32) / np.float32(127), SCALE_BITS)
    np.testing.assert_array_equal(found.scale, scale)
    assert found.values.tolist() == [[76, -127, 32], [57, 32, -127]]
    assert [found.values.dtype.name, found.scale.dtype.name] == ["int8", "float32"]


def test_row_of_zeros_stays_zeros() -> None:
    found = quantise_rows(np.array([[0, 0], [3, -3]], np.float32))
    assert found.values.tolist() == [[0, 0], [127, -127]]
    assert np.isfinite(found.scale).all()


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_what_is_quantised_again_is_the_same_to_the_bit(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((5, 19), dtype=np.float32) * np.float32(10.0**exponent)
    factor = rng.choice(np.array([0.25, 0.375, 1, 1.5, 12], np.float32), 19)
    first = quantise_rows(matrix / factor)
    back = first.values * first.scale[:, None] * factor
    again = quantise_rows(back / factor)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(again.scale, first.scale)


def test_layer_equals_its_formula_exactly(tmp_path: Path) -> None:
    x = normal(ROWS, IN) * np.array([[1e-3], [1], [30], [1e4], [1]], np.float32)
    wanted = formula(x, LAYER["layer.weight"], LAYER["layer.bias"])
    np.testing.assert_array_equal(project(tmp_path, x), wanted)


def test_rows_of_gelu_have_most_levels_above_zero(tmp_path: Path) -> None:
    x = activation("gelu", normal(ROWS, IN) * np.array([[1e-3], [0.5], [3], [60], [1]], np.float32))
    # The first two rows and the last reach less than what the 24 levels below zero are for.
    peak = np.maximum(x.max(axis=1, keepdims=True), np.float32(0.1701 / 24 * 231))
    assert (peak > x.max(axis=1, keepdims=True)).sum() >= 2
    wanted = formula(x, LAYER["layer.weight"], LAYER["layer.bias"], peak=peak, zero=24)
    np.testing.assert_array_equal(project(tmp_path, x, least=-0.1701), wanted)


def test_rows_of_relu_have_all_levels_above_zero(tmp_path: Path) -> None:
    x = np.maximum(normal(ROWS, IN), 0)
    peak = x.max(axis=1, keepdims=True)
    wanted = formula(x, LAYER["layer.weight"], LAYER["layer.bias"], peak=peak, zero=0)
    np.testing.assert_array_equal(project(tmp_path, x, least=0), wanted)


@pytest.mark.parametrize("name", ["gelu", "gelu_new", "relu"])
def test_more_levels_above_zero_halve_the_error(tmp_path: Path, name: str) -> None:
    x = activation(name, 3 * normal(ROWS, IN))
    # What the weights' rounding leaves of the product, so that the rows' is the whole error.
    quantised = quantise_rows(LAYER["layer.weight"])
    wanted = x @ (quantised.values * quantised.scale[:, None]).T + LAYER["layer.bias"]
    errors = [
        np.abs(project(tmp_path / f"{least}", x, least=least) - wanted).mean()
        for least in (LEAST[name], None)
    ]
    assert errors[0] < 0.65 * errors[1]


@pytest.mark.parametrize("name", LEAST)
def test_no_activation_gives_less_than_its_bound(name: str) -> None:
    x = np.linspace(-9, 9, 400_001, dtype=np.float32)
    assert LEAST[name] <= activation(name, x).min() <= LEAST[name] + 2e-4


def test_layer_at_the_ends_of_its_range_does_not_saturate(tmp_path: Path) -> None:
    # Kernels that add pairs of products in 16 bits would cut these sums off.
    weights = {
        "layer.weight": np.full((OUT, IN), 2.0, np.float32),
        "layer.bias": LAYER["layer.bias"],
    }
    x = np.ones((ROWS, IN), np.float32)

    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(weights))
        rows = linear.rows(graph.input("x", TensorProto.FLOAT, ["rows", IN]))
        return linear.project(rows, "layer")

    wanted = x @ weights["layer.weight"].T + weights["layer.bias"]
    np.testing.assert_allclose(compute(tmp_path, make, {"x": x}), wanted, rtol=1e-5)


@pytest.mark.parametrize("least", BOUNDS)
def test_row_of_zeros_gives_the_bias(tmp_path: Path, least: float | None) -> None:
    x = np.abs(normal(3, IN))
    x[1] = 0
    found = project(tmp_path, x, least=least)
    np.testing.assert_array_equal(found[1], LAYER["layer.bias"])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("least", BOUNDS)
def test_layer_on_no_rows_gives_no_rows(tmp_path: Path, least: float | None) -> None:
    assert project(tmp_path, np.zeros((0, IN), np.float32), least=least).shape == (0, OUT)


@pytest.mark.parametrize("least", BOUNDS)
def test_row_is_the_same_to_the_bit_among_outliers(tmp_path: Path, least: float | None) -> None:
    row, outliers = np.abs(normal(1, IN)), normal(6, IN) * np.float32(1e4)
    alone = project(tmp_path / "alone", row, least=least)
    among = np.concatenate([outliers[:2], row, outliers[2:]])
    among = project(tmp_path / "among", among, least=least)
    np.testing.assert_array_equal(among[2], alone[0])


@pytest.mark.parametrize("least", BOUNDS)
def test_gathered_rows_are_not_quantised_again(tmp_path: Path, least: float | None) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(LAYER))
        rows = linear.rows(graph.input("x", TensorProto.FLOAT, ["rows", IN]), least=least)
        index = graph.input("index", TensorProto.INT64, ["reads"])
        return linear.project(linear.gather(rows, index), "layer")

    x, index = np.abs(normal(ROWS, IN)), np.array([4, 1, 4])
    found = compute(tmp_path / "gathered", make, {"x": x, "index": index})
    np.testing.assert_array_equal(found, project(tmp_path / "all", x, least=least)[index])


def test_smoothed_layer_equals_its_formula_exactly(tmp_path: Path) -> None:
    factor = np.tile(np.array([1, 0.375, 4], np.float32), IN)[:IN]
    weights = {f"intermediate.{kind}": LAYER[f"layer.{kind}"] for kind in ("weight", "bias")}

    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(weights | {"intermediate.factor": factor}))
        x = graph.input("x", TensorProto.FLOAT, ["rows", IN])
        rows = linear.rows(x, "intermediate")
        assert rows.values == x, "the residual adds what was there before"
        return linear.project(rows, "intermediate")

    x = normal(ROWS, IN)
    wanted = formula(x * factor, LAYER["layer.weight"], LAYER["layer.bias"])
    np.testing.assert_array_equal(compute(tmp_path, make, {"x": x}), wanted)


def test_residual_is_added_before_the_activation(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(LAYER))
        return linear.project(
            linear.rows(graph.input("x", TensorProto.FLOAT, ["rows", IN])),
            "layer",
            residual=graph.input("residual", TensorProto.FLOAT, ["rows", OUT]),
            activation=lambda value: graph.node("Relu", value),
        )

    x, residual = normal(ROWS, IN), normal(ROWS, OUT)
    found = compute(tmp_path, make, {"x": x, "residual": residual})
    wanted = formula(x, LAYER["layer.weight"], LAYER["layer.bias"]) + residual
    np.testing.assert_array_equal(found, np.maximum(wanted, 0))


@pytest.mark.parametrize(
    ("weights", "table"),
    [(WORDS, "embeddings.word"), (OWN_DECODER, "mlm.decoder.weight")],
    ids=["tied", "separate"],
)
def test_decoder_equals_the_formula_exactly(
    tmp_path: Path, weights: dict[str, Float32], table: str
) -> None:
    def make(graph: GraphBuilder) -> str:
        x = graph.input("x", TensorProto.FLOAT, ["rows", IN])
        return Int8Linear(graph, MemoryWeights(weights)).decode(x)

    x = normal(ROWS, IN)
    wanted = formula(x, weights[table], weights["mlm.decoder.bias"])
    np.testing.assert_array_equal(compute(tmp_path, make, {"x": x}), wanted)


def test_word_vectors_are_the_quantised_rows(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        index = graph.input("index", TensorProto.INT64, ["tokens"])
        return Int8Linear(graph, MemoryWeights(WORDS)).lookup("embeddings.word", index)

    index = np.array([300, 0, 7, 7])
    table = quantise_rows(WORDS["embeddings.word"])
    wanted = table.values[index] * table.scale[index, None]
    np.testing.assert_array_equal(compute(tmp_path, make, {"index": index}), wanted)


def test_small_tables_and_heads_stay_float32(tmp_path: Path) -> None:
    weights = LAYER | {"embeddings.position": normal(29, IN)}

    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(weights))
        index = graph.input("index", TensorProto.INT64, ["tokens"])
        return linear.exact(linear.lookup("embeddings.position", index), "layer")

    index = np.array([28, 0])
    wanted = weights["embeddings.position"][index] @ LAYER["layer.weight"].T + LAYER["layer.bias"]
    np.testing.assert_allclose(compute(tmp_path, make, {"index": index}), wanted, atol=1e-5)


@pytest.fixture(scope="module")
def tiny(pretraining: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    folder = tmp_path_factory.mktemp("tiny") / "graph"
    return build_graph(pretraining, folder, linear=Int8Linear, layers=(-2,))


def test_tied_table_is_one_int8_tensor_that_both_ends_read(tiny: BuiltGraph) -> None:
    graph = onnx.load(tiny.folder / GRAPH_FILE, load_external_data=False).graph
    tables = [tensor.name for tensor in graph.initializer if list(tensor.dims) == [67, 12]]
    assert tables == ["embeddings.word.int8"]
    readers = {node.op_type for node in graph.node if tables[0] in node.input}
    assert readers == {"Gather", "QGemm"}


def test_separate_decoder_is_a_table_of_its_own(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Int8Linear(graph, MemoryWeights(OWN_DECODER))
        index = graph.input("index", TensorProto.INT64, ["tokens"])
        return linear.decode(linear.lookup("embeddings.word", index))

    compute(tmp_path, make, {"index": np.array([3])})
    graph = onnx.load(tmp_path / GRAPH_FILE, load_external_data=False).graph
    tables = {tensor.name for tensor in graph.initializer if list(tensor.dims) == [VOCABULARY, IN]}
    assert tables == {"embeddings.word.int8", "mlm.decoder.weight.int8"}


def test_int8_heads_without_rows_return_none(tiny: BuiltGraph) -> None:
    found = parity.run_feeds(tiny.session, nothing_wanted(tiny))
    assert {name: len(value) for name, value in found.items()} == dict.fromkeys(found, 0)
    assert len(found) == 7


@pytest.fixture(scope="module")
def standin(standin_checkpoint: Path) -> Checkpoint:
    return read_checkpoint(standin_checkpoint)


@pytest.fixture(scope="module")
def standin_int8(standin: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    near = dataclasses.replace(standin, weights=smoothed(standin.weights, standin.config))
    return build_graph(near, tmp_path_factory.mktemp("int8") / "graph", linear=Int8Linear)


def test_int8_standin_stays_near_float32(standin: Checkpoint, standin_int8: BuiltGraph) -> None:
    graph = standin_int8
    drift = measure_quantization_error(
        graph.session, standin.weights, graph.spec, standin.tokenizer_json
    )
    assert drift["mlm_masks"] >= 1000
    assert COSINE <= drift["embedding_cosine_mean"] < 1
    assert AGREEMENT <= drift["mlm_top1_agreement"] <= 1


def test_int8_standin_takes_about_a_byte_per_parameter(
    standin: Checkpoint, standin_int8: BuiltGraph
) -> None:
    # A second word table would add half as much again.
    parameters = count_parameters(standin.config, standin.heads)
    table = standin.config.vocab_size * standin.config.hidden_size
    size = (standin_int8.folder / DATA_FILE).stat().st_size
    assert parameters["total"] < size < 1.1 * parameters["total"] < parameters["total"] + table


def test_int8_text_does_not_depend_on_its_batch(
    standin: Checkpoint, standin_int8: BuiltGraph
) -> None:
    rng = np.random.default_rng(1)
    texts = [
        Text(rng.integers(0, standin.config.vocab_size, n), np.zeros(n, np.int64))
        for n in (9, 31, 4)
    ]
    together = standin_int8.run(texts, [[0]] * 3)["token_vectors"]
    for index, text in enumerate(texts):
        alone = standin_int8.run([text], [[0]])["token_vectors"]
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)
