"""The name of a size -> a BERT of random weights, as Cloze's model folders and for PyTorch.

Speed does not depend on what weights are. These are larger than those that a training begins with,
so that attention prefers some tokens and rounding shows. Knows nothing of sessions.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants.source import SEED, RandomWeights
from export.graph.bert import BertGraph, GraphSpec
from export.graph.builder import OPSET, GraphBuilder
from export.read.config import BertConfig
from export.read.weight_shapes import Shapes, canonical_shapes
from export.write.model_folder import EXTRA_LAYERS, LINEARS
from models.manifest import (
    TOKENIZER_FILE,
    Architecture,
    ModelManifest,
    PoolingSpec,
    record_files,
    write_manifest,
)

SIZES = {  # layers, hidden size, heads
    "tiny": (2, 64, 2),  # to try the benchmark itself
    "small": (6, 384, 12),  # all-MiniLM-L6-v2's
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
HEADS = ("mlm", "nsp", "pooler")
VOCABULARY, POSITIONS, TYPES, EPSILON = 30_522, 512, 2, 1e-12
SPREAD = 1.2  # standard deviation of what a product makes of normalised rows
POOL = 4_000_037  # random numbers; prime, so that no two rows of a table are the same

Graph = Callable[..., BertGraph]


class DrawnWeights(RandomWeights):
    """The same cut out of one pool of normal numbers, so that little has to be drawn."""

    def __init__(self, shapes: Shapes, hidden: int) -> None:
        super().__init__(shapes)
        self._starts = {name: 104_729 * place for place, name in enumerate(shapes)}
        drawn = np.random.default_rng(SEED).standard_normal(POOL, np.float32)
        self._pool = drawn * np.float32(SPREAD / hidden**0.5)

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Cut one weight out of the pool."""
        shape = self._shapes[name]
        if name.endswith("norm.weight"):
            return np.ones(shape, np.float32)
        start = self._starts[name] % POOL
        size = prod(shape)
        ends = start + size
        if ends <= POOL:
            return self._pool[start:ends].reshape(shape)
        whole = np.resize(np.concatenate([self._pool[start:], self._pool[:start]]), size)
        return whole.reshape(shape)


@dataclass(frozen=True)
class Bert:
    """One size with its weights."""

    name: str
    tokenizer_json: str

    @cached_property
    def config(self) -> BertConfig:
        """The sizes."""
        layers, hidden, heads = SIZES[self.name]
        return BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            hidden_act="gelu",
            max_position_embeddings=POSITIONS,
            type_vocab_size=TYPES,
            layer_norm_eps=EPSILON,
            labels=(),
            multi_label=False,
        )

    @property
    def spec(self) -> GraphSpec:
        """The graph that an export of it has."""
        return GraphSpec(self.config, HEADS, EXTRA_LAYERS)

    @cached_property
    def weights(self) -> DrawnWeights:
        """By canonical name."""
        shapes = canonical_shapes(self.config, HEADS, labels=0)
        return DrawnWeights(shapes, self.config.hidden_size)

    def write(self, folder: Path, precision: str, graph: Graph = BertGraph) -> None:
        """Write the graph, its weights and the tokenizer; no manifest."""
        folder.mkdir(parents=True)
        with GraphBuilder(folder) as builder:
            linear = LINEARS[precision](builder, self.weights)
            graph(builder, self.spec, self.weights, linear).build()
            builder.write()
        (folder / TOKENIZER_FILE).write_text(self.tokenizer_json, encoding="utf-8")

    def complete(self, folder: Path, precision: str) -> None:
        """Write the manifest beside what `write` wrote, so that the server takes the folder."""
        manifest = self.manifest(precision)
        write_manifest(folder, replace(manifest, name=folder.name, files=record_files(folder)))

    def manifest(self, precision: str) -> ModelManifest:
        """What a session asks of a folder, without the files' checksums."""
        known = asdict(self.config)
        sizes = {name: known[name] for name in Architecture.__dataclass_fields__}
        return ModelManifest(
            name=self.name,
            source="random weights",
            licence="unknown",
            created="2026-01-01T00:00:00+00:00",
            architecture=Architecture(**sizes),
            heads=HEADS,
            pooling=PoolingSpec("mean", normalize=True, max_tokens=POSITIONS),
            labels=(),
            multi_label=False,
            max_tokens=POSITIONS,
            precision=precision,
            opset=OPSET,
            layers=EXTRA_LAYERS,
            parameters={},
            parity={},
            drift={},
            files={},
        )
