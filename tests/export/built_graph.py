"""Graphs built from a checkpoint and opened, without a folder around them; weights in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto

from export.check import parity
from export.check.layers import Text
from export.graph.builder import GraphBuilder
from export.graph.encoder import build_encoder
from export.graph.linear import Linear
from export.graph.packed import GraphSpec
from export.read.checkpoint import Checkpoint
from export.read.weights import Float32, Weights
from export.write.model_folder import graph_spec
from tests.export.torch_bert import tiny_texts


class MemoryWeights(Mapping[str, Float32]):
    """Weights by canonical name, from memory. Counts how often each is read."""

    def __init__(self, arrays: Mapping[str, Float32]) -> None:
        self._arrays = dict(arrays)
        self.reads = dict.fromkeys(arrays, 0)

    def __getitem__(self, name: str) -> Float32:
        self.reads[name] += 1
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays


@dataclass(frozen=True)
class BuiltGraph:
    """A graph on disk, what it was built to, and a session with it."""

    folder: Path
    spec: GraphSpec
    session: ort.InferenceSession

    @classmethod
    def open(cls, folder: Path, checkpoint: Checkpoint, layers: tuple[int, ...]) -> Self:
        """The graph in `folder`, which was built from `checkpoint`."""
        spec = graph_spec(checkpoint, layers)
        return cls(folder, spec, parity.open_graph(folder))

    def run(
        self, texts: Sequence[Text], reads: Sequence[Sequence[int]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """All outputs, with every row read unless `reads` says which."""
        everything = [range(len(text.ids)) for text in texts]
        return parity.run(self.session, self.spec, texts, everything if reads is None else reads)


def build_graph(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    linear: Callable[[GraphBuilder, Weights], Linear] = Linear,
    layers: tuple[int, ...] = (),
) -> BuiltGraph:
    """Write the graph of a checkpoint into `folder` (created) and open it."""
    folder.mkdir(parents=True)
    spec = graph_spec(checkpoint, layers)
    with GraphBuilder(folder) as graph:
        build_encoder(graph, spec, linear(graph, checkpoint.weights))
        graph.write()
    return BuiltGraph.open(folder, checkpoint, layers)


def nothing_wanted(graph: BuiltGraph) -> dict[str, NDArray[np.generic]]:
    """Feeds of one text whose [CLS] row is read by no head."""
    feeds = parity.packed_feeds(graph.spec, tiny_texts()[:1], [[0]])
    nothing = np.zeros(0, np.int64)
    return feeds | {
        "mlm_index": nothing,
        "top_k": np.array([0]),
        "targets": np.zeros((0, 2), np.int64),
        "pooler_index": nothing,
        "token_index": nothing,
        "layer_-2_index": nothing,
        "pool_index": np.zeros((0, 1), np.int64),
        "pool_weights": np.zeros((0, 1, 1), np.float32),
        "max_index": np.zeros((0, 1), np.int64),
        "sentence_index": np.zeros((0, graph.spec.poolings), np.int64),
    }


def some_and_all(
    graph: BuiltGraph, texts: Sequence[Text]
) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """By output: what a few rows of five texts give, and the same rows where all are read."""
    reads = [[0, 2], [0, 10, 4], [0, 28], [0], [0]]
    some, everything = graph.run(texts, reads), graph.run(texts)
    starts = np.cumsum([0, *(len(text.ids) for text in texts)])
    rows = [start + row for start, read in zip(starts, reads, strict=False) for row in read]
    for name in ("token_vectors", "mlm_log_probabilities", "target_log_probabilities"):
        yield name, some[name], everything[name][rows]
    yield "nsp_logits", some["nsp_logits"], everything["nsp_logits"]


def difference(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Largest absolute difference of two arrays of one shape."""
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max())


def compute(
    folder: Path, make: Callable[[GraphBuilder], str], feeds: Mapping[str, NDArray[Any]]
) -> NDArray[Any]:
    """What a graph of a few nodes gives: `make` adds them and returns the name of a 2-D value."""
    folder.mkdir(parents=True, exist_ok=True)
    with GraphBuilder(folder) as graph:
        graph.output(make(graph), "y", TensorProto.FLOAT, ["rows", "columns"])
        graph.write()
    (found,) = parity.open_graph(folder).run(["y"], dict(feeds))
    return np.asarray(found)
