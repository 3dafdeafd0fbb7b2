"""The families that Cloze exports, by `model_type`; a config.json in, its family and sizes out."""

from collections.abc import Collection

from export.architectures.architecture import Architecture
from export.architectures.bert import BERT
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields
from models import heads

# model_type in config.json -> the family. A new one is one line here.
ARCHITECTURES: dict[str, Architecture] = {"bert": BERT}


def architecture_of(config: EncoderConfig) -> Architecture:
    """The family of an encoder."""
    return ARCHITECTURES[config.model_type]


def read_config(fields: Fields) -> EncoderConfig:
    """The sizes and choices of an encoder; Google's files name no family and are BERT's.

    Raises:
        ExportError: another family, a decoder, or a choice that the graph cannot express.
    """
    family = fields.text("model_type", "bert")
    if family not in ARCHITECTURES:
        known = " and ".join(f"{a.class_prefix} ({name})" for name, a in ARCHITECTURES.items())
        raise ExportError(f"This is a {family} checkpoint; Cloze serves model_type {known}.")
    architecture = ARCHITECTURES[family]
    known_classes = classes_of(architecture)
    for name in fields.texts("architectures"):
        if name not in known_classes:
            known = ", ".join(known_classes)
            raise ExportError(f"The architecture {name} is not one that Cloze serves: {known}.")
    if "auto_map" in fields.values:
        raise ExportError(f"{fields.file} asks for its own code (auto_map), which is never run.")
    for flag in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if fields.flag(flag, default=False):
            raise ExportError(f"{fields.file} sets {flag}; Cloze serves encoders.")
    return architecture.read_config(fields)


def classes_of(architecture: Architecture) -> dict[str, frozenset[str]]:
    """The classes of transformers for a family -> the heads that each has, by name.

    >>> sorted(classes_of(BERT)["BertForPreTraining"])
    ['mlm', 'nsp']
    """
    prefix = architecture.class_prefix
    classes: dict[str, frozenset[str]] = {f"{prefix}Model": frozenset()}
    for head in heads.HEADS:
        for bert_class in head.architectures:
            name = prefix + bert_class.removeprefix(BERT.class_prefix)
            classes[name] = classes.get(name, frozenset()) | {head.name}
    return classes


def declared_heads(fields: Fields, architecture: Architecture) -> frozenset[str]:
    """The heads of the classes that `architectures` in config.json names."""
    classes = classes_of(architecture)
    named = fields.texts("architectures")
    return frozenset[str]().union(*(classes.get(name, frozenset()) for name in named))


def class_of(architecture: Architecture, present: Collection[str]) -> str:
    """The class of transformers for these heads: that of the last one, and of as many as it can.

    >>> class_of(BERT, ("mlm", "nsp", "pooler")), class_of(BERT, ("pooler",))
    ('BertForPreTraining', 'BertModel')
    """
    order = [head.name for head in heads.HEADS]

    def rank(entry: tuple[str, frozenset[str]]) -> tuple[int, int]:
        return max(map(order.index, entry[1]), default=-1), len(entry[1])

    fitting = [entry for entry in classes_of(architecture).items() if entry[1] <= set(present)]
    return max(fitting, key=rank)[0]
