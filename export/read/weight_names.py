"""The weight names of a checkpoint in, the canonical name of each out, and back.

Every name is used once or explained. Reads PyTorch's names, old and new, with or without the
encoder's prefix; Google's names reach this module already in PyTorch's form
(`export.read.tensorflow`). Which module is which, the architecture and `models.heads` say.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from export.architectures.architecture import Architecture, WeightNames
from export.architectures.registry import architecture_of, canonical_shapes, classes_of
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.tensors import TensorSource
from export.read.weights import DECODER_BIAS, UNTIED_DECODER, WORD_TABLE
from models import heads
from models.heads import POOLER, Reads, heads_named

_CANONICAL_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
# What a checkpoint may hold beside weights. Each reason is shown with the name.
_IGNORED = (
    (r"(\w+\.)?embeddings\.position_ids", "a buffer: 0, 1, 2 and so on"),
    (r"(\w+\.)?embeddings\.token_type_ids", "a buffer of zeros"),
    (r"(.+[./])?(adam_[mv]|Adam(_1)?|LAMB(_1)?)", "optimizer state"),
    (r"global_step|beta[12]_power", "optimizer state"),
)


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
    architecture = architecture_of(config)
    own, not_read = architecture.weight_names, architecture.ignored(config)
    ignored = {
        key: reason
        for key in source.shapes
        for pattern, reason in (*_IGNORED, *not_read.items())
        if re.fullmatch(pattern, key) or re.fullmatch(pattern, key.removeprefix(own.prefix))
    }
    if any(head.reads is Reads.POOLED for head in heads_named(declared)):
        declared = {*declared, POOLER.name}
    bias, decoder_bias = own.parameters.get(DECODER_BIAS), module_key(DECODER_BIAS, own)
    if bias and {bias, decoder_bias} <= source.shapes.keys():
        ignored[bias] = f"the decoder adds its own bias, {decoder_bias}"
    names = _name_all((key for key in source.shapes if key not in ignored), config, declared)
    if UNTIED_DECODER in names:
        tied = _equal(source, names[UNTIED_DECODER], names.get(WORD_TABLE))
        if tied:
            ignored[names.pop(UNTIED_DECODER)] = "the same numbers as the word embeddings: tied"
    present = _heads(names)
    products = [f"{h.name}.weight" for h in heads_named(present) if h.by_label]
    labels = max((source.shapes[names[key]][0] for key in products if key in names), default=0)
    _compare(source, names, canonical_shapes(config, present, labels=labels, tied=tied))
    return NameMap(names, ignored, present, labels)


def canonical_name(key: str, own: WeightNames, declared: Collection[str] = ()) -> str | None:
    """The canonical name for PyTorch's, None for one that the architecture does not have.

    >>> from export.architectures.bert import BERT
    >>> canonical_name("bert.encoder.layer.3.attention.output.LayerNorm.gamma", BERT.weight_names)
    'layers.3.attention.norm.weight'
    """
    found = _candidates(key, own)
    if len(found) > 1:
        found = [name for name in found if name.partition(".")[0] in declared]
    return found[0] if len(found) == 1 else None


def _candidates(key: str, own: WeightNames) -> list[str]:
    """Every canonical name that PyTorch's may stand for: heads may share a module's name."""
    key = key.removeprefix(own.prefix)
    key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", key)
    key = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key)
    if found := [name for name, parameter in own.parameters.items() if parameter == key]:
        return found
    module, _, kind = key.rpartition(".")
    known, place = _modules(own), ""
    if layer := re.fullmatch(rf"{re.escape(own.layer)}(\d+)\.(.+)", module):
        known, place, module = own.layer_modules, f"layers.{int(layer[1])}.", layer[2]
    if kind not in {"weight", "bias"}:
        return []
    return [f"{place}{name}.{kind}" for name, called in known.items() if called == module]


def checkpoint_key(name: str, own: WeightNames) -> str:
    """PyTorch's name for a canonical one, as in a model with heads; `canonical_name` turns it back.

    >>> from export.architectures.bert import BERT
    >>> checkpoint_key("layers.3.attention.norm.weight", BERT.weight_names)
    'bert.encoder.layer.3.attention.output.LayerNorm.weight'
    >>> checkpoint_key("nsp.bias", BERT.weight_names)
    'cls.seq_relationship.bias'
    """
    key = own.parameters.get(name) or module_key(name, own)
    inside = {POOLER.name} if own.pooler_in_encoder else set()
    outside = {head.name for head in heads.HEADS} - inside
    return key if name.partition(".")[0] in outside else own.prefix + key


def module_key(name: str, own: WeightNames) -> str:
    """PyTorch's name, without the encoder's prefix, for a weight or bias of a module."""
    module, _, kind = name.rpartition(".")
    if layer := _CANONICAL_LAYER.fullmatch(module):
        return f"{own.layer}{layer[1]}.{own.layer_modules[layer[2]]}.{kind}"
    return f"{_modules(own)[module]}.{kind}"


def _modules(own: WeightNames) -> Mapping[str, str]:
    """Canonical name -> module, outside of the layers."""
    of_heads = {name: module for head in heads.HEADS for name, module in head.modules.items()}
    return of_heads | dict(own.modules)


def _name_all(
    keys: Iterable[str], config: EncoderConfig, declared: Collection[str]
) -> dict[str, str]:
    architecture = architecture_of(config)
    names: dict[str, str] = {}
    unknown: list[str] = []
    for key in keys:
        name = canonical_name(key, architecture.weight_names, declared)
        if name is None:
            unknown.append(key)
        elif name in names:
            raise ExportError(f"{names[name]} and {key} are both {name}.")
        else:
            names[name] = key
    if unknown:
        _refuse_shared(unknown[0], architecture, declared)
        raise ExportError(f"A {config.model_type} encoder has no place for {_few(unknown)}.")
    return names


def _refuse_shared(key: str, architecture: Architecture, declared: Collection[str]) -> None:
    """Say so where a module may belong to several heads, and no class in config.json says which."""
    module = key.rpartition(".")[0]
    shared = {name.partition(".")[0] for name in _candidates(key, architecture.weight_names)}
    if len(shared) > 1 and not shared & set(declared):
        classes = [name for name, has in classes_of(architecture).items() if has & shared]
        raise ExportError(
            f"The checkpoint has a {module}, but architectures in config.json does not say "
            f"whether it is {' or '.join(classes)}."
        )


def _heads(names: Mapping[str, str]) -> tuple[str, ...]:
    present = {name.partition(".")[0] for name in names}
    found = [head for head in heads.HEADS if head.name in present]
    for head in found:
        if head.reads is Reads.POOLED and POOLER.name not in present:
            raise ExportError(
                f"The checkpoint has a {head.name} head but no pooler for it to read."
            )
    return tuple(head.name for head in found)


def _compare(
    source: TensorSource, names: Mapping[str, str], expected: Mapping[str, tuple[int, ...]]
) -> None:
    if leftover := [key for name, key in names.items() if name not in expected]:
        raise ExportError(f"An encoder of this configuration has no place for {_few(leftover)}.")
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
