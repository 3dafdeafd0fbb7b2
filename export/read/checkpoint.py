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
from export.read.cross_encoder import read_activation
from export.read.documents import Fields
from export.read.files import called, check_file, is_there
from export.read.foreign import ADAPTER, lacking, names_in
from export.read.fused import Separated
from export.read.head_files import unread_heads, with_head_files
from export.read.labels import with_labels
from export.read.modules import read_modules
from export.read.place import CONFIG, locate
from export.read.pooling import read_pooling
from export.read.sentence_settings import (
    PAIRS,
    WORDS,
    TransformerSettings,
    read_model_settings,
    read_transformer_settings,
    require_room,
)
from export.read.tensorflow.source import CONFIG as TENSORFLOW_CONFIG
from export.read.tensorflow.source import open_tensorflow
from export.read.tensors import TensorSource
from export.read.tokenizer import read_tokenizer
from export.read.weight_names import map_names
from export.read.weights import CheckpointWeights, JoinedWeights, Weights
from export.read.wrapped import unwrapped
from models.heads import MLM, NSP, QA, SEQUENCE, TOKEN
from models.manifest import LONGEST
from models.pooling import PoolingSpec
from models.tokenizer_spec import TokenizerSpec


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
    max_tokens: int  # of a text or pair; `pooling` has its own
    truncation_side: str = "right"  # the end that is cut off what is too long
    activation: str | None = None  # of the classifier's logits, where a file says it
    sparse: bool = False  # whether sparse vectors are to be made by the masked language model
    tokenizer: TokenizerSpec = field(default_factory=TokenizerSpec)
    # Name of a tensor or setting of no use -> reason.
    ignored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what no file said and was decided, each with its reason


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
    place = locate(str(source), revision=revision, allow_pickle=allow_pickle)
    modules = read_modules(place.folder)
    settings = read_model_settings(place.folder, modules)
    folder = modules[0].folder if modules else place.folder
    texts = read_transformer_settings(folder, settings.kind if modules else None)
    fields = Fields.of(folder / (TENSORFLOW_CONFIG if place.prefix else CONFIG))
    config = read_config(fields)
    if place.prefix:
        stored: TensorSource = open_tensorflow(place.prefix)
        declared = frozenset({SEQUENCE.name})
    else:
        prefix = architecture_of(config).weight_names.prefix
        stored = unwrapped(_open(folder, allow_pickle=allow_pickle), prefix)
        stored = with_head_files(stored, folder, allow_pickle=allow_pickle)
        declared = declared_heads(fields, architecture_of(config))
    stored = Separated(stored, architecture_of(config).weight_names.fused)
    tied = fields.flag("tie_word_embeddings", default=True)
    found = map_names(stored, config, declared=declared, tied=tied)
    config = with_labels(config, fields, found.labels)
    activation = read_activation(settings, fields, labels=len(config.labels))
    if SEQUENCE.name not in found.heads and (settings.kind == PAIRS or activation is not None):
        raise ExportError(f"The checkpoint is a {PAIRS} by its settings, but has no classifier.")
    if settings.kind == WORDS and MLM.name not in found.heads:
        raise ExportError(f"The checkpoint is a {WORDS} by its settings, but has no {MLM.title}.")
    tokenizer = read_tokenizer(
        folder,
        rows=config.vocab_size,
        needs_mask=MLM.name in found.heads,
        needs_pairs=not {NSP.name, SEQUENCE.name, QA.name}.isdisjoint(found.heads),
        lowercase=lowercase,
    )
    placed = {TOKEN.name, QA.name} & set(found.heads)
    if placed and tokenizer.spec.words:
        raise ExportError(
            "MeCab's words have no places in a text, which a head for tokens or answers needs."
        )
    most = _max_tokens(
        config,
        texts,
        pair_specials=tokenizer.spec.pair_specials if SEQUENCE.name in found.heads else None,
    )
    pooled = read_pooling(
        modules,
        settings,
        hidden=config.hidden_size,
        longest=min(most, texts.max_tokens or most),
        open_module=lambda module: _open(
            module.folder, allow_pickle=allow_pickle, what=f"The {module.kind} in {module.path}"
        ),
    )
    return Checkpoint(
        name=place.source.rpartition("/")[2],
        source=f"{place.source}@{revision}" if revision else place.source,
        license=read_license(place.folder / "README.md"),
        config=config,
        pooling=pooled.spec,
        heads=found.heads,
        weights=JoinedWeights((CheckpointWeights(stored, found.names), pooled.weights)),
        tokenizer_json=tokenizer.json,
        tokenizer=tokenizer.spec,
        max_tokens=most,
        truncation_side=texts.truncation_side,
        activation=activation,
        sparse=settings.kind == WORDS,
        ignored={
            **found.ignored,
            **unused_settings(fields),
            **unread_heads(folder, allow_pickle=allow_pickle),
        },
        notes=tokenizer.notes,
    )


def _max_tokens(
    config: EncoderConfig, texts: TransformerSettings, *, pair_specials: int | None
) -> int:
    """The longest text or pair: as many tokens as positions, fewer where a classifier says so.

    More than `LONGEST` is what nobody serves.

    `pair_specials` are the special tokens of a pair, None where nothing classifies.
    """
    longest = min(architecture_of(config).max_tokens(config), LONGEST)
    if pair_specials is None or texts.max_pair_tokens is None:
        return longest
    require_room(texts.max_pair_tokens, pair_specials + 2, "pair")
    return min(longest, texts.max_pair_tokens)


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
        for pattern in pickled.PICKLES:
            for path in sorted(folder.glob(pattern)):
                check_file(path)  # an option that reads pickles would not help
        raise ExportError(lacking(names_in(folder), allow_pickle=allow_pickle, what=what))
    return stored
