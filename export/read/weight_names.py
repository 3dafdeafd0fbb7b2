"""The keys of a checkpoint in, the canonical name of each out, and back.

Every key is used once or explained.

Reads PyTorch's names, old and new, with or without the `bert.` prefix; Google's names reach this
module already in PyTorch's form (`export.read.tensorflow`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from export.errors import ExportError
from export.read.config import BertConfig
from export.read.tensors import TensorSource
from export.read.weight_shapes import HEADS, NEEDS_POOLER, UNTIED_DECODER, canonical_shapes

WORD = "embeddings.word"

# PyTorch's module -> canonical name of the same module, each with a weight and a bias.
_MODULES = {
    "embeddings.LayerNorm": "embeddings.norm",
    "pooler.dense": "pooler",
    "cls.predictions.transform.dense": "mlm.transform",
    "cls.predictions.transform.LayerNorm": "mlm.norm",
    "cls.predictions.decoder": "mlm.decoder",
    "cls.seq_relationship": "nsp",
    "qa_outputs": "qa",
}
_LAYER_MODULES = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "intermediate",
    "output.dense": "output",
    "output.LayerNorm": "output.norm",
}
# PyTorch's parameter -> canonical name, where it is no module's weight or bias.
_PARAMETERS = {
    "embeddings.word_embeddings.weight": WORD,
    "embeddings.position_embeddings.weight": "embeddings.position",
    "embeddings.token_type_embeddings.weight": "embeddings.token_type",
    "cls.predictions.bias": "mlm.decoder.bias",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
# The same the other way round. A classifier has one name in PyTorch, whatever it reads.
_MODULE_OF = {name: key for key, name in _MODULES.items()} | {
    "sequence": "classifier",
    "token": "classifier",
}
_LAYER_MODULE_OF = {name: key for key, name in _LAYER_MODULES.items()}
_PARAMETER_OF = {name: key for key, name in _PARAMETERS.items()}
_CANONICAL_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_HEADS = ("cls.", "classifier.", "qa_outputs.")  # what PyTorch keeps outside of `bert.`
# What a checkpoint may hold beside weights. Each reason is shown with the key.
_IGNORED = (
    (r"(bert\.)?embeddings\.position_ids", "a buffer: 0, 1, 2 and so on"),
    (r"(bert\.)?embeddings\.token_type_ids", "a buffer of zeros"),
    (r"(.+[./])?(adam_[mv]|Adam(_1)?|LAMB(_1)?)", "optimizer state"),
    (r"global_step|beta[12]_power", "optimizer state"),
)
_DECODER_BIAS = "cls.predictions.decoder.bias"
_PREDICTIONS_BIAS = "cls.predictions.bias"


@dataclass(frozen=True)
class KeyMap:
    """What every key of a checkpoint is for."""

    keys: Mapping[str, str]  # canonical name -> key in the checkpoint
    ignored: Mapping[str, str]  # key in the checkpoint -> reason
    heads: tuple[str, ...]  # in the order of `HEADS`
    labels: int  # rows of the classifier, 0 without one


def map_keys(
    source: TensorSource, config: BertConfig, *, classifier: str | None, tied: bool
) -> KeyMap:
    """Account for every key of `source`.

    `classifier` says what `classifier.*` weights are for, "sequence" or "token", if anything does.
    `tied` says whether a decoder without a weight of its own uses the word embeddings.

    Raises:
        ExportError: a key is unknown or used twice, a weight is missing, or a shape is wrong.
    """
    ignored = {key: reason for key in source.shapes if (reason := _reason_to_ignore(key))}
    if {_DECODER_BIAS, _PREDICTIONS_BIAS} <= source.shapes.keys():
        ignored[_PREDICTIONS_BIAS] = "the decoder adds its own bias, cls.predictions.decoder.bias"
    keys = _name_all((key for key in source.shapes if key not in ignored), classifier)
    if UNTIED_DECODER in keys:
        tied = _equal(source, keys[UNTIED_DECODER], keys.get(WORD))
        if tied:
            ignored[keys.pop(UNTIED_DECODER)] = "the same numbers as the word embeddings: tied"
    heads = _heads(keys)
    labels = _rows(source, keys, heads)
    expected = canonical_shapes(config, heads, labels=labels, tied=tied)
    _compare(source, keys, expected)
    return KeyMap(keys, ignored, heads, labels)


def canonical_name(key: str, classifier: str | None = None) -> str | None:
    """The canonical name for PyTorch's key, None for a key that BERT does not have.

    >>> canonical_name("bert.encoder.layer.3.attention.output.LayerNorm.gamma")
    'layers.3.attention.norm.weight'
    """
    key = key.removeprefix("bert.")
    key = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", key)
    key = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", key)
    if key in _PARAMETERS:
        return _PARAMETERS[key]
    module, _, kind = key.rpartition(".")
    if kind not in {"weight", "bias"}:
        return None
    if module == "classifier":
        return f"{classifier}.{kind}" if classifier else None
    if layer := _LAYER.fullmatch(module):
        name = _LAYER_MODULES.get(layer[2])
        return f"layers.{int(layer[1])}.{name}.{kind}" if name else None
    return f"{_MODULES[module]}.{kind}" if module in _MODULES else None


def checkpoint_key(name: str) -> str:
    """PyTorch's key for a canonical name, as in a model with heads; `canonical_name` turns it back.

    >>> checkpoint_key("layers.3.attention.norm.weight")
    'bert.encoder.layer.3.attention.output.LayerNorm.weight'
    >>> checkpoint_key("nsp.bias")
    'cls.seq_relationship.bias'
    """
    key = _PARAMETER_OF.get(name) or _module_key(*name.rsplit(".", 1))
    return key if key.startswith(_HEADS) else f"bert.{key}"


def _module_key(module: str, kind: str) -> str:
    if layer := _CANONICAL_LAYER.fullmatch(module):
        return f"encoder.layer.{layer[1]}.{_LAYER_MODULE_OF[layer[2]]}.{kind}"
    return f"{_MODULE_OF[module]}.{kind}"


def _reason_to_ignore(key: str) -> str | None:
    return next((reason for pattern, reason in _IGNORED if re.fullmatch(pattern, key)), None)


def _name_all(checkpoint_keys: Iterable[str], classifier: str | None) -> dict[str, str]:
    keys: dict[str, str] = {}
    unknown: list[str] = []
    for key in checkpoint_keys:
        name = canonical_name(key, classifier)
        if name is None:
            unknown.append(key)
        elif name in keys:
            raise ExportError(f"{keys[name]} and {key} are both {name}.")
        else:
            keys[name] = key
    if any(key.startswith("classifier.") for key in unknown) and classifier is None:
        raise ExportError(
            "The checkpoint has a classifier, but architectures in config.json does not say "
            "whether it is BertForSequenceClassification or BertForTokenClassification."
        )
    if unknown:
        raise ExportError(f"BERT has no place for {_few(unknown)}.")
    return keys


def _heads(keys: Mapping[str, str]) -> tuple[str, ...]:
    present = {name.partition(".")[0] for name in keys}
    heads = tuple(head for head in HEADS if head in present)
    for head in NEEDS_POOLER:
        if head in heads and "pooler" not in heads:
            raise ExportError(f"The checkpoint has a {head} head but no pooler for it to read.")
    return heads


def _rows(source: TensorSource, keys: Mapping[str, str], heads: tuple[str, ...]) -> int:
    """How many labels the classifier tells apart, 0 without one."""
    for head in ("sequence", "token"):
        if head in heads and f"{head}.weight" in keys:
            return source.shapes[keys[f"{head}.weight"]][0]
    return 0


def _compare(
    source: TensorSource, keys: Mapping[str, str], expected: Mapping[str, tuple[int, ...]]
) -> None:
    if leftover := [key for name, key in keys.items() if name not in expected]:
        raise ExportError(f"A BERT of this configuration has no place for {_few(leftover)}.")
    if missing := [name for name in expected if name not in keys]:
        raise ExportError(f"The checkpoint lacks {_few(missing)}.")
    for name, shape in expected.items():
        found = source.shapes[keys[name]]
        if found != shape:
            raise ExportError(
                f"{keys[name]} has shape {found}; its configuration asks for {shape}."
            )


def _equal(source: TensorSource, key: str, other: str | None) -> bool:
    if other is None or source.shapes[key] != source.shapes[other]:
        return False
    return np.array_equal(source.read(key), source.read(other))


def _few(names: list[str], shown: int = 3) -> str:
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
