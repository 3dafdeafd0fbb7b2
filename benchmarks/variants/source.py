"""A checkpoint, or the shape of the default model -> weights that every variant is built from.

Speed does not depend on what the weights are, so random ones do; what a variant costs in accuracy
is measured on a checkpoint alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.graph.bert import GraphSpec
from export.read.checkpoint import read_checkpoint
from export.read.config import BertConfig
from export.read.weight_shapes import Shapes, canonical_shapes
from export.read.weights import Weights
from models.manifest import TOKENIZER_FILE, load_manifest

SPREAD = 0.02  # standard deviation of BERT's initial weights
LAYERS = (-2,)  # the extra layer that an export can pool
SEED = 2018
LAYER_NORM_EPS = 1e-12


class RandomWeights(Weights):
    """Normal numbers as weights, ones as the gains of norms; the same ones every time."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """Draw one weight."""
        shape = self._shapes[name]
        if name.endswith("norm.weight"):
            return np.ones(shape, np.float32)
        rng = np.random.default_rng([SEED, list(self._shapes).index(name)])
        return rng.standard_normal(shape, np.float32) * np.float32(SPREAD)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one weight."""
        return self._shapes[name]


@dataclass(frozen=True)
class Source:
    """What a graph is built from, and how texts become its tokens."""

    name: str
    spec: GraphSpec
    weights: Weights
    tokenizer_json: str
    trained: bool


def read_source(checkpoint: str | None, model: Path) -> Source:
    """Read a checkpoint; without one, draw weights in the shape of a model folder."""
    if checkpoint is not None:
        read = read_checkpoint(checkpoint)
        spec = GraphSpec(read.config, read.heads, LAYERS)
        return Source(read.name, spec, read.weights, read.tokenizer_json, trained=True)
    manifest = load_manifest(model)
    shape = manifest.architecture
    config = BertConfig(
        shape.vocab_size,
        shape.hidden_size,
        shape.num_hidden_layers,
        shape.num_attention_heads,
        shape.intermediate_size,
        shape.hidden_act,
        shape.max_position_embeddings,
        shape.type_vocab_size,
        LAYER_NORM_EPS,
        (),
        multi_label=False,
    )
    shapes = canonical_shapes(config, manifest.heads, labels=0)
    tokenizer = (model / TOKENIZER_FILE).read_text(encoding="utf-8")
    spec = GraphSpec(config, manifest.heads, LAYERS)
    name = f"random weights in the shape of {manifest.name}"
    return Source(name, spec, RandomWeights(shapes), tokenizer, trained=False)


def written_tokenizer(source: Source, folder: Path) -> Path:
    """Write the tokenizer into a folder, for those who read it from a file."""
    file = folder / TOKENIZER_FILE
    file.write_text(source.tokenizer_json, encoding="utf-8")
    return file
