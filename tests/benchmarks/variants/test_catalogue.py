"""Every variant is built, opened and run on a tiny BERT; those of the same function agree."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.variants.catalogue import SHIPPED, THREADS, Variant, of_one_thread
from benchmarks.variants.opened import Runner, open_session, passes_per_s
from benchmarks.variants.products import SHAPES, factors, of_onnxruntime, of_torch
from benchmarks.variants.source import LAYERS, RandomWeights, Source
from benchmarks.variants.written import write_graph
from export.check import parity
from export.graph.bert import GraphSpec
from export.read.config import BertConfig
from export.read.weight_shapes import canonical_shapes

NEAR = {"fp32": 1e-4, "int8": 0.15}  # absolute, of token vectors that a norm has just made
FAST_GELU = 0.02  # absolute: the tanh approximation is another function
HEADS = ("mlm", "pooler", "nsp")
CONFIG = BertConfig(67, 128, 2, 4, 256, "gelu", 32, 2, 1e-12, (), multi_label=False)
VARIANTS = [
    (precision, variant) for precision in ("fp32", "int8") for variant in of_one_thread(precision)
]


@pytest.fixture(scope="module")
def source() -> Source:
    shapes = canonical_shapes(CONFIG, HEADS, labels=0)
    spec = GraphSpec(CONFIG, HEADS, LAYERS)
    return Source("tiny", spec, RandomWeights(shapes), "", trained=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@pytest.mark.parametrize(
    ("precision", "variant"), VARIANTS, ids=lambda value: getattr(value, "name", value)
)
def test_variant_computes_what_the_reference_does(
    source: Source, folder: Path, precision: str, variant: Variant
) -> None:
    graph = write_graph(source, variant, precision, folder)
    found = parity.measure_parity(open_session(graph, variant.opening), source.weights, source.spec)
    near = FAST_GELU if "FastGelu" in variant.name else 0
    assert found["token_vectors"] <= max(near, NEAR[precision])
    assert found["mlm_log_probabilities"] <= max(near, NEAR[precision])


def test_norms_are_smoothed_in_int8_unless_a_variant_says_otherwise(source: Source) -> None:
    named = {variant.name: variant for variant in of_one_thread("int8")}
    factor = "layers.1.intermediate.factor"
    assert factor in SHIPPED.weights_of("int8", source)
    assert factor in named["no biases of keys and values"].weights_of("int8", source)
    assert factor not in named["norms as they are"].weights_of("int8", source)
    assert factor not in SHIPPED.weights_of("fp32", source)


def test_graphs_of_the_same_parts_are_built_once(source: Source, folder: Path) -> None:
    first = write_graph(source, SHIPPED, "fp32", folder)
    assert write_graph(source, THREADS[-1], "fp32", folder) == first
    assert write_graph(source, SHIPPED, "int8", folder) != first


def test_names_are_given_once() -> None:
    for variants in (of_one_thread("int8"), THREADS):
        names = [variant.name for variant in variants]
        assert len(set(names)) == len(names)


def test_passes_of_all_workers_are_added_up(source: Source, folder: Path) -> None:
    session = open_session(write_graph(source, SHIPPED, "fp32", folder), SHIPPED.opening)
    texts = parity.random_texts(CONFIG)
    feeds = parity.packed_feeds(source.spec, texts, [[0]] * len(texts))
    run = Runner(session, [feeds])
    assert passes_per_s(run, 2, 0.05, alone=False) > 0
    assert passes_per_s(run, 1, 0.05, alone=True) > 0


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_both_libraries_compute_the_same_product(precision: str) -> None:
    shape = (40, 24, 16)  # PyTorch wants more than 16 rows and multiples of 8
    first, second = factors(shape, precision)
    zero = 0 if precision == "fp32" else 128
    wanted = (first.astype(np.float64) - zero) @ second.astype(np.float64)
    for product in (of_onnxruntime(shape, precision), of_torch(shape, precision)):
        found = product()
        found = found[0] if isinstance(found, list) else found
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-3, atol=1e-3)


def test_square_is_among_the_shapes() -> None:
    assert any(rows == inner == columns for rows, inner, columns in SHAPES)
