"""The weight names of a checkpoint in, the canonical name of each out, and back.

Every name is used once or explained. Reads PyTorch's names, old and new, with or without the
encoder's prefix; Google's names reach this module already in PyTorch's form
(`export.read.tensorflow`). Which module is which, the architecture and `models.heads` say.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from export.architectures.architecture import WeightNames
from export.architectures.registry import architecture_of, classes_of
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.tensors import TensorSource
from export.read.weight_shapes import canonical_shapes
from export.read.weights import UNTIED_DECODER, WORD_TABLE
from models import heads
from models.heads import POOLER, Reads, heads_named

# What a checkpoint may hold beside weights. Each reason is shown with the name.
_IGNORED = (
    (r"(\w+\.)?embeddings\.position_ids", "a buffer: 0, 1, 2 and so on"),
    (r"(\w+\.)?embeddings\.token_type_ids", "a buffer of zeros"),
    (r"(.+[./])?(adam_[mv]|Adam(_1)?|LAMB(_1)?)", "optimizer state"),
    (r"global_step|beta[12]_power", "optimizer state"),
)
_DECODER_BIAS = "mlm.decoder.bias"


@dataclass(frozen=True)
class NameMap:
    """What every tensor of a checkpoint is for."""

    names: Mapping[str, str]  # canonical name -> name in the checkpoint
    ignored: Mapping[str, str]  # name in the checkpoint -> reason
    heads: tuple[str, ...]  # in the order of `HEADS`
    labels: int  # rows of the classifier, 0 without one


def map_names(
    source: TensorSource, config: EncoderConfig, *, declared: Collection[str], tied: bool
) -> NameMap:
    """Account for every tensor of `source`.

    `declared` are the heads that the checkpoint says it has: they tell apart heads whose weights
    have the same names. `tied` says whether a decoder without a weight of its own uses the word
    embeddings.

    Raises:
        ExportError: a name is unknown or used twice, a weight is missing, or a shape is wrong.
    """
    own = architecture_of(config).weight_names
    ignored = {key: reason for key in source.shapes if (reason := _reason_to_ignore(key))}
    bias = [key for key in checkpoint_keys(_DECODER_BIAS, own) if key in source.shapes]
    if len(bias) > 1:
        ignored[bias[0]] = f"the decoder adds its own bias, {bias[1]}"
    names = _name_all((key for key in source.shapes if key not in ignored), config, declared)
    if UNTIED_DECODER in names:
        tied = _equal(source, names[UNTIED_DECODER], names.get(WORD_TABLE))
        if tied:
            ignored[names.pop(UNTIED_DECODER)] = "the same numbers as the word embeddings: tied"
    present = _heads(names)
    labels = _labels(source, names, present)
    _compare(source, names, canonical_shapes(config, present, labels=labels, tied=tied))
    return NameMap(names, ignored, present, labels)


def canonical_names(config: EncoderConfig) -> dict[str, list[str]]:
    """Every name in a checkpoint, without the encoder's prefix -> the canonical ones it may mean.

    It is one for all but the heads whose modules have the same name.
    """
    own = architecture_of(config).weight_names
    every_head = [head.name for head in heads.HEADS]
    known: dict[str, list[str]] = {}
    for name in canonical_shapes(config, every_head, labels=0, tied=False):
        for key in checkpoint_keys(name, own):
            known.setdefault(key, []).append(name)
    return known


def checkpoint_keys(name: str, own: WeightNames) -> list[str]:
    """PyTorch's names for a canonical one, without the encoder's prefix; the first is for writing.

    >>> from export.architectures.bert import BERT
    >>> checkpoint_keys("layers.3.attention.norm.weight", BERT.weight_names)
    ['encoder.layer.3.attention.output.LayerNorm.weight']
    """
    module, _, kind = name.rpartition(".")
    keys = [own.parameters[name]] if name in own.parameters else []
    of_heads = {name: module for head in heads.HEADS for name, module in head.modules.items()}
    modules = of_heads | dict(own.modules)
    if layer := re.fullmatch(r"layers\.(\d+)\.(.+)", module):
        keys.append(f"{own.layer}{layer[1]}.{own.layer_modules[layer[2]]}.{kind}")
    elif module in modules:
        keys.append(f"{modules[module]}.{kind}")
    return keys


def checkpoint_key(name: str, own: WeightNames) -> str:
    """PyTorch's name for a canonical one, as in a model with heads.

    >>> from export.architectures.bert import BERT
    >>> checkpoint_key("pooler.bias", BERT.weight_names)
    'bert.pooler.dense.bias'
    >>> checkpoint_key("nsp.bias", BERT.weight_names)
    'cls.seq_relationship.bias'
    """
    # transformers counts the pooler as part of the encoder.
    outside = {head.name for head in heads.HEADS} - {POOLER.name}
    key = checkpoint_keys(name, own)[0]
    return key if name.partition(".")[0] in outside else own.prefix + key


def _reason_to_ignore(key: str) -> str | None:
    return next((reason for pattern, reason in _IGNORED if re.fullmatch(pattern, key)), None)


def _name_all(
    keys: Iterable[str], config: EncoderConfig, declared: Collection[str]
) -> dict[str, str]:
    known = canonical_names(config)
    names: dict[str, str] = {}
    unknown: list[str] = []
    for key in keys:
        meant = known.get(current_name(key, config), [])
        if len(meant) > 1:
            meant = _declared(key, meant, config, declared)
        if not meant:
            unknown.append(key)
        elif meant[0] in names:
            raise ExportError(f"{names[meant[0]]} and {key} are both {meant[0]}.")
        else:
            names[meant[0]] = key
    if unknown:
        raise ExportError(
            f"A {config.model_type} encoder of this configuration has no place for {_few(unknown)}."
        )
    return names


def current_name(key: str, config: EncoderConfig) -> str:
    """A name as it is written today, without the encoder's prefix."""
    key = key.removeprefix(architecture_of(config).weight_names.prefix)
    return re.sub(
        r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key)
    )


def _declared(
    key: str, meant: list[str], config: EncoderConfig, declared: Collection[str]
) -> list[str]:
    """The one of several meanings whose head the checkpoint says it has."""
    shared = {name.partition(".")[0] for name in meant}
    if len(shared & set(declared)) != 1:
        classes = [n for n, has in classes_of(architecture_of(config)).items() if has & shared]
        raise ExportError(
            f"The checkpoint has {key}, but architectures in config.json does not say "
            f"whether it is {' or '.join(classes)}."
        )
    return [name for name in meant if name.partition(".")[0] in declared]


def _heads(names: Mapping[str, str]) -> tuple[str, ...]:
    present = {name.partition(".")[0] for name in names}
    found = [head for head in heads.HEADS if head.name in present]
    for head in found:
        if head.reads is Reads.POOLED and POOLER.name not in present:
            raise ExportError(
                f"The checkpoint has a {head.name} head but no pooler for it to read."
            )
    return tuple(head.name for head in found)


def _labels(source: TensorSource, names: Mapping[str, str], present: Collection[str]) -> int:
    """How many labels the classifier tells apart, 0 without one."""
    for head in heads_named(present):
        if head.is_product and head.width is None and f"{head.name}.weight" in names:
            return source.shapes[names[f"{head.name}.weight"]][0]
    return 0


def _compare(
    source: TensorSource, names: Mapping[str, str], expected: Mapping[str, tuple[int, ...]]
) -> None:
    if missing := [name for name in expected if name not in names]:
        raise ExportError(f"The checkpoint lacks {_few(missing)}.")
    for name, shape in expected.items():
        found = source.shapes[names[name]]
        if found != shape:
            raise ExportError(
                f"{names[name]} has shape {found}; its configuration asks for {shape}."
            )


def _equal(source: TensorSource, key: str, other: str | None) -> bool:
    if other is None or source.shapes[key] != source.shapes[other]:
        return False
    return np.array_equal(source.read(key), source.read(other))


def _few(names: list[str], shown: int = 3) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
