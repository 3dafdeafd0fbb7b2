"""The modules behind a pooling in the graph, against torch's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from export.check import parity, reference
from export.graph.linear import HalfLinear, Linear
from export.graph.quantize import Int8Linear
from export.graph.smoothing import smoothed
from export.read.checkpoint import Checkpoint, read_checkpoint
from models.pooling import MODULE_ACTIVATIONS, PoolingModule
from tests.export.built_graph import (
    BuiltGraph,
    MemoryWeights,
    build_graph,
    difference,
    nothing_wanted,
)
from tests.sentence_folders import save_sentences

PARITY = 1e-5  # largest difference of a number of a vector from torch in float32
PLANTED = 0.5  # what is added to one number of a weight
PRECISIONS = {"fp32": Linear, "fp16": HalfLinear, "int8": Int8Linear}
SENTENCES = "sentence_vectors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with two poolings and six modules behind them."""
    return save_sentences("deep", tmp_path_factory.mktemp("sentence") / "deep")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return read_checkpoint(folder)


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> BuiltGraph:
    return build_graph(checkpoint, tmp_path_factory.mktemp("graph") / "deep", layers=(-2,))


def behind_the_pooling(folder: Path, pooled: NDArray[Any]) -> NDArray[Any]:
    """What the modules of the library make of pooled rows."""
    model = SentenceTransformer(str(folder), device="cpu").eval()
    features: dict[str, Any] = {"sentence_embedding": torch.from_numpy(pooled)}
    with torch.inference_mode():
        for module in list(model)[2:]:
            features = module(features)
    found: NDArray[Any] = features["sentence_embedding"].numpy()
    return found


def laid_end_to_end(found: dict[str, NDArray[Any]], texts: int) -> NDArray[Any]:
    """The mean and the maximum of each text, as `parity` pools them."""
    return np.concatenate([found["pooled"][:texts], found["pooled_max"][:texts]], axis=1)


def test_vectors_are_what_the_librarys_modules_make(
    folder: Path, checkpoint: Checkpoint, graph: BuiltGraph
) -> None:
    texts = parity.random_texts(checkpoint.config)
    found = graph.run(texts)
    assert found[SENTENCES].shape == (4, 26)
    wanted = behind_the_pooling(folder, laid_end_to_end(found, len(texts)))
    assert difference(found[SENTENCES], wanted) <= PARITY


def test_reference_makes_the_same(folder: Path, checkpoint: Checkpoint) -> None:
    rows = np.random.default_rng(3).normal(size=(5, 64)).astype(np.float32)
    found = reference.sentence_vectors(checkpoint.weights, checkpoint.pooling.modules, rows)
    assert difference(found, behind_the_pooling(folder, rows)) <= PARITY


@pytest.mark.parametrize("activation", MODULE_ACTIVATIONS)
@pytest.mark.parametrize("size", [1.0, 300.0])
def test_every_activation_is_that_of_torch(activation: str, size: float) -> None:
    rows = (np.random.default_rng(5).normal(size=(3, 7)) * size).astype(np.float32)
    module = PoolingModule("dense", 7, activation, bias=False)
    weights = MemoryWeights({"pooling.0.weight": np.eye(7, dtype=np.float32)})
    found = reference.sentence_vectors(weights, (module,), rows)
    names = {"identity": "Identity", "tanh": "Tanh", "sigmoid": "Sigmoid"}
    name = names.get(activation, {"relu": "ReLU", "gelu": "GELU", "silu": "SiLU"}.get(activation))
    with torch.inference_mode():
        wanted = getattr(torch.nn, str(name))()(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=PARITY, atol=PARITY)


@pytest.mark.parametrize(
    "name", ["0.weight", "1.weight", "1.bias", "2.weight", "2.bias", "4.bias", "5.bias", "6.weight"]
)
def test_a_wrong_weight_of_a_module_shows_in_parity(
    checkpoint: Checkpoint, graph: BuiltGraph, name: str
) -> None:
    arrays = {key: checkpoint.weights[key].copy() for key in checkpoint.weights}
    arrays[f"pooling.{name}"].flat[0] += PLANTED
    found = parity.measure_parity(graph.session, MemoryWeights(arrays), graph.spec)
    wrong = {output for output, value in found.items() if value > parity.TOLERANCE}
    assert wrong == {SENTENCES}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_modules_are_float32_in_every_precision(
    folder: Path, checkpoint: Checkpoint, tmp_path: Path, precision: str
) -> None:
    def linear(graph: Any, weights: Any) -> Linear:
        rounded = smoothed(weights, checkpoint.config) if precision == "int8" else weights
        return PRECISIONS[precision](graph, rounded)

    graph = build_graph(checkpoint, tmp_path / precision, linear=linear)
    texts = parity.random_texts(checkpoint.config)
    found = graph.run(texts)
    wanted = behind_the_pooling(folder, laid_end_to_end(found, len(texts)))
    assert difference(found[SENTENCES], wanted) <= PARITY


def test_no_vector_is_made_where_none_is_asked_for(graph: BuiltGraph) -> None:
    found = parity.run_feeds(graph.session, nothing_wanted(graph))
    assert found[SENTENCES].shape == (0, 26)


def test_a_vector_of_zeros_is_not_divided_by_zero() -> None:
    rows = np.zeros((2, 3), np.float32)
    module = (PoolingModule("normalize", 3),)
    assert not reference.sentence_vectors(MemoryWeights({}), module, rows).any()
