"""Where an encoder lies in, a `Checkpoint` out: sizes, pooling, heads, weights and tokenizer.

THE FLOW of reading: place -> config -> tensors -> weight names -> weights, and beside them pooling
and tokenizer. Whatever wrote the checkpoint, from here on it looks the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.architectures.registry import (
    architecture_of,
    declared_heads,
    read_config,
    unused_settings,
)
from export.errors import ExportError
from export.read import pickled, tensors
from export.read.card import read_license
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.files import called, is_there
from export.read.foreign import ADAPTER, lacking, names_in
from export.read.labels import with_labels
from export.read.place import CONFIG, locate
from export.read.pooling import read_modules, read_pooling
from export.read.tensorflow.source import CONFIG as TENSORFLOW_CONFIG
from export.read.tensorflow.source import open_tensorflow
from export.read.tensors import TensorSource
from export.read.tokenizer import read_tokenizer
from export.read.weight_names import map_names
from export.read.weights import CheckpointWeights, Weights
from export.read.wrapped import unwrapped
from models.heads import MLM, SEQUENCE
from models.manifest import PoolingSpec


@dataclass(frozen=True)
class Checkpoint:
    """A user's encoder in Cloze's own terms."""

    name: str
    source: str  # a folder's name or a hub id, never a path
    license: str  # as its model card says, else "unknown"
    config: EncoderConfig
    pooling: PoolingSpec
    heads: tuple[str, ...]  # of `models.heads.HEADS`, those whose weights are there
    weights: Weights
    tokenizer_json: str  # complete, with truncation and padding null
    # Name of a tensor or setting of no use -> reason.
    ignored: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(
    source: str | Path, *, revision: str | None = None, allow_pickle: bool = False
) -> Checkpoint:
    """Read a folder, a TensorFlow prefix or a hub id; weights stay on disk until asked for.

    Raises:
        ExportError: there is none, or not one that can be served as it was trained.
    """
    place = locate(str(source), revision=revision, allow_pickle=allow_pickle)
    modules = read_modules(place.folder)
    folder = modules[0].folder if modules else place.folder
    fields = Fields.of(folder / (TENSORFLOW_CONFIG if place.prefix else CONFIG))
    config = read_config(fields)
    if place.prefix:
        stored: TensorSource = open_tensorflow(place.prefix)
        declared = frozenset({SEQUENCE.name})
    else:
        stored = _open(folder, allow_pickle=allow_pickle)
        stored = unwrapped(stored, architecture_of(config).weight_names.prefix)
        declared = declared_heads(fields, architecture_of(config))
    tied = fields.flag("tie_word_embeddings", default=True)
    found = map_names(stored, config, declared=declared, tied=tied)
    config = with_labels(config, fields, found.labels)
    return Checkpoint(
        name=place.source.rpartition("/")[2],
        source=f"{place.source}@{revision}" if revision else place.source,
        license=read_license(place.folder / "README.md"),
        config=config,
        pooling=read_pooling(place.folder, modules, config),
        heads=found.heads,
        weights=CheckpointWeights(stored, found.names),
        tokenizer_json=read_tokenizer(
            folder, rows=config.vocab_size, needs_mask=MLM.name in found.heads
        ),
        ignored={**found.ignored, **unused_settings(fields)},
    )


def _open(folder: Path, *, allow_pickle: bool, what: str = "The checkpoint") -> TensorSource:
    """The weights in Hugging Face's format, pickled ones only where there are no others."""
    if is_there(folder / ADAPTER):
        raise ExportError(
            f"{called(folder / ADAPTER)} makes the checkpoint an adapter of another model: "
            "merge it into that one (PEFT's merge_and_unload) and save the result."
        )
    stored = tensors.open_folder(folder)
    if stored is None and allow_pickle:
        stored = pickled.open_pickles(folder)
    if stored is None:
        raise ExportError(lacking(names_in(folder), allow_pickle=allow_pickle, what=what))
    return stored
