"""Where an encoder lies in, a `Checkpoint` out: sizes, pooling, heads, weights and tokenizer.

THE FLOW of reading: place -> config -> tensors -> weight names -> weights, and beside them pooling
and tokenizer. Whatever wrote the checkpoint, from here on it looks the same.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.architectures.registry import architecture_of, classes_of, read_config
from export.errors import ExportError
from export.read import hub, pickled, tensors
from export.read.config import EncoderConfig
from export.read.documents import Fields, read_text
from export.read.pooling import read_modules, read_pooling
from export.read.tensorflow.source import CONFIG as TENSORFLOW_CONFIG
from export.read.tensorflow.source import find_prefix, open_tensorflow
from export.read.tensors import TensorSource
from export.read.tokenizer import read_tokenizer
from export.read.weight_names import map_names
from export.read.weights import CheckpointWeights, Weights
from models.heads import MLM, QA, SEQUENCE, TOKEN
from models.manifest import PoolingSpec
from models.tokenizer_spec import TokenizerSpec

CONFIG = "config.json"


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
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    ignored: Mapping[str, str] = field(default_factory=dict)  # name of a tensor of no use -> reason
    notes: tuple[str, ...] = ()  # what no file said and was decided, each with its reason


@dataclass(frozen=True)
class Place:
    """Where a checkpoint lies and what it is called."""

    folder: Path
    source: str
    prefix: Path | None = None  # of a TensorFlow checkpoint


def read_checkpoint(
    source: str | Path,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    lowercase: bool | None = None,
) -> Checkpoint:
    """Read a folder, a TensorFlow prefix or a hub id; weights stay on disk until asked for.

    `lowercase` says whether texts are lower-cased, where the files of the tokenizer do not.

    Raises:
        ExportError: there is none, or not one that can be served as it was trained.
    """
    place = _locate(str(source), revision=revision, allow_pickle=allow_pickle)
    modules = read_modules(place.folder)
    folder = modules[0].folder if modules else place.folder
    fields = Fields.of(folder / (TENSORFLOW_CONFIG if place.prefix else CONFIG))
    config = read_config(fields)
    if place.prefix:
        stored: TensorSource = open_tensorflow(place.prefix)
        declared = frozenset({SEQUENCE.name})
    else:
        stored = _open(folder, allow_pickle=allow_pickle)
        classes = classes_of(architecture_of(config))
        declared = frozenset[str]().union(
            *(classes[name] for name in fields.texts("architectures"))
        )
    tied = fields.flag("tie_word_embeddings", default=True)
    found = map_names(stored, config, declared=declared, tied=tied)
    config, card = _with_labels(config, found.labels), place.folder / "README.md"
    tokenizer = read_tokenizer(
        folder,
        rows=config.vocab_size,
        needs_mask=MLM.name in found.heads,
        lowercase=lowercase,
    )
    placed = {TOKEN.name, QA.name} & set(found.heads)
    if placed and tokenizer.spec.words:
        raise ExportError(
            "MeCab's words have no places in a text, which a head for tokens or answers needs."
        )
    return Checkpoint(
        name=place.source.rpartition("/")[2],
        source=f"{place.source}@{revision}" if revision else place.source,
        license=license_of(read_text(card) if card.is_file() else ""),
        config=config,
        pooling=read_pooling(place.folder, modules, config),
        heads=found.heads,
        weights=CheckpointWeights(stored, found.names),
        tokenizer_json=tokenizer.json,
        tokenizer=tokenizer.spec,
        ignored=found.ignored,
        notes=tokenizer.notes,
    )


def _locate(source: str, *, revision: str | None, allow_pickle: bool) -> Place:
    path = Path(source)
    if revision is not None and (path.exists() or not hub.is_hub_id(source)):
        raise ExportError("--revision chooses among the versions of a model on the hub.")
    if path.is_dir():
        if (path / CONFIG).is_file() or (path / "modules.json").is_file():
            return Place(path, path.resolve().name)
        if prefix := find_prefix(path):
            return Place(path, path.resolve().name, prefix)
        raise ExportError(f"{source} holds neither {CONFIG} nor a TensorFlow checkpoint.")
    if prefix := find_prefix(path):
        return Place(prefix.parent, f"{prefix.parent.resolve().name}/{prefix.name}", prefix)
    if path.exists() or not hub.is_hub_id(source):
        raise ExportError(f"{source} is neither a checkpoint folder nor the id of a model.")
    folder = hub.download(source, revision=revision, allow_pickle=allow_pickle)
    return Place(folder, source)


def _open(folder: Path, *, allow_pickle: bool) -> TensorSource:
    """The weights in Hugging Face's format, pickled ones only where there are no others."""
    stored = tensors.open_folder(folder)
    if stored is None and allow_pickle:
        stored = pickled.open_pickles(folder)
    if stored is None:
        hint = "" if allow_pickle else f"; a {pickled.SINGLE} is read only with --allow-pickle"
        raise ExportError(f"The checkpoint has no {tensors.SINGLE}{hint}.")
    return stored


def license_of(card: str) -> str:
    r"""The `license` of the YAML between a card's first two lines of dashes, "unknown" without one.

    >>> license_of("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model")
    'apache-2.0'
    >>> license_of("# A model without front matter, license: mit")
    'unknown'
    """
    front = re.match(r"---\n(.*?)\n---\s*$", card, re.DOTALL | re.MULTILINE)
    found = front and re.search(r"^license:\s*(?:\[|\n?\s*-)?\s*([\w.+-]+)", front[1], re.MULTILINE)
    return found[1] if found else "unknown"


def _with_labels(config: EncoderConfig, rows: int) -> EncoderConfig:
    """The labels of the classifier as it is: none without one, numbered when not named."""
    if not rows:
        return dataclasses.replace(config, labels=(), multi_label=False, regression=False)
    labels = config.labels or tuple(f"LABEL_{index}" for index in range(rows))
    if len(labels) != rows:
        raise ExportError(f"id2label names {len(labels)} labels; the classifier has {rows}.")
    return dataclasses.replace(config, labels=labels)
