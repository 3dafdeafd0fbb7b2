"""float32 products and lookups as nodes, run by onnxruntime, against NumPy."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from export.graph.builder import DATA_FILE, GraphBuilder
from export.graph.linear import Linear
from tests.export.built_graph import MemoryWeights, compute

TOLERANCE = 1e-5  # absolute, of sums of 12 products of normal numbers
ROWS, IN, OUT, VOCABULARY = 5, 12, 7, 31
RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return RNG.standard_normal(shape, dtype=np.float32)


X, RESIDUAL, HIDDEN = normal(ROWS, IN), normal(ROWS, OUT), normal(ROWS, IN)
LAYER = {"layer.weight": normal(OUT, IN), "layer.bias": normal(OUT)}
TIED = {"embeddings.word": normal(VOCABULARY, IN), "mlm.decoder.bias": normal(VOCABULARY)}
UNTIED = TIED | {"mlm.decoder.weight": normal(VOCABULARY, IN)}
PRODUCT = X @ LAYER["layer.weight"].T + LAYER["layer.bias"]


def x_of(graph: GraphBuilder, columns: int = IN) -> str:
    return graph.input("x", TensorProto.FLOAT, ["rows", columns])


def test_project_is_a_product_and_a_bias(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Linear(graph, MemoryWeights(LAYER))
        return linear.project(linear.rows(x_of(graph)), "layer")

    np.testing.assert_allclose(compute(tmp_path, make, {"x": X}), PRODUCT, atol=TOLERANCE)


def test_exact_is_the_same_product(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        return Linear(graph, MemoryWeights(LAYER)).exact(x_of(graph), "layer")

    np.testing.assert_allclose(compute(tmp_path, make, {"x": X}), PRODUCT, atol=TOLERANCE)


def test_residual_is_added_before_the_activation(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Linear(graph, MemoryWeights(LAYER))
        return linear.project(
            linear.rows(x_of(graph)),
            "layer",
            residual=graph.input("residual", TensorProto.FLOAT, ["rows", OUT]),
            activation=lambda value: graph.node("Relu", value),
        )

    found = compute(tmp_path, make, {"x": X, "residual": RESIDUAL})
    wanted = np.maximum(PRODUCT + RESIDUAL, 0)
    assert (wanted == 0).any()
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_gathered_rows_are_multiplied_in_the_order_of_the_index(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Linear(graph, MemoryWeights(LAYER))
        index = graph.input("index", TensorProto.INT64, ["reads"])
        return linear.project(linear.gather(linear.rows(x_of(graph)), index), "layer")

    index = np.array([4, 0, 4])
    found = compute(tmp_path, make, {"x": X, "index": index})
    np.testing.assert_allclose(found, PRODUCT[index], atol=TOLERANCE)


def test_lookup_picks_rows_of_the_table(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        index = graph.input("index", TensorProto.INT64, ["tokens"])
        return Linear(graph, MemoryWeights(TIED)).lookup("embeddings.word", index)

    index = np.array([30, 0, 7, 7])
    found = compute(tmp_path, make, {"index": index})
    np.testing.assert_array_equal(found, TIED["embeddings.word"][index])


@pytest.mark.parametrize(
    ("weights", "table"),
    [(TIED, "embeddings.word"), (UNTIED, "mlm.decoder.weight")],
    ids=["tied", "separate"],
)
def test_decoder_uses_its_own_table_or_the_word_table(
    tmp_path: Path,
    weights: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]],
    table: str,
) -> None:
    def make(graph: GraphBuilder) -> str:
        return Linear(graph, MemoryWeights(weights)).decode(x_of(graph))

    wanted = HIDDEN @ weights[table].T + weights["mlm.decoder.bias"]
    found = compute(tmp_path, make, {"x": HIDDEN})
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


def test_tied_table_is_stored_once(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Linear(graph, MemoryWeights(TIED))
        index = graph.input("index", TensorProto.INT64, ["tokens"])
        return linear.decode(linear.lookup("embeddings.word", index))

    index = np.array([3, 30])
    found = compute(tmp_path, make, {"index": index})
    table = TIED["embeddings.word"]
    np.testing.assert_allclose(
        found, table[index] @ table.T + TIED["mlm.decoder.bias"], atol=TOLERANCE
    )
    assert (tmp_path / DATA_FILE).stat().st_size == table.nbytes


def test_layer_on_no_rows_gives_no_rows(tmp_path: Path) -> None:
    def make(graph: GraphBuilder) -> str:
        linear = Linear(graph, MemoryWeights(LAYER))
        return linear.project(linear.rows(x_of(graph)), "layer")

    assert compute(tmp_path, make, {"x": X[:0]}).shape == (0, OUT)
