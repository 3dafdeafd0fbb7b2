"""The families that Cloze exports, by `model_type`; a config.json in, its family and sizes out.

`canonical_shapes` is the one list of what an encoder consists of: the weights of a checkpoint are
checked against it and the parameter count adds it up. Letters: V vocabulary, H hidden, L layers.
"""

import re
from collections.abc import Collection
from math import prod

from export.architectures.albert import ALBERT
from export.architectures.architecture import Architecture, HeadLayer
from export.architectures.bert import BERT
from export.architectures.deberta import DEBERTA_V2
from export.architectures.distilbert import DISTILBERT
from export.architectures.electra import ELECTRA
from export.architectures.modernbert import MODERNBERT
from export.architectures.mpnet import MPNET
from export.architectures.nomicbert import NOMICBERT
from export.architectures.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.weights import UNTIED_DECODER
from models import heads
from models.heads import MLM, Head, Shapes, heads_named, norm_shapes, product_shapes

# model_type in config.json -> the family. A new one is one line here.
ARCHITECTURES: dict[str, Architecture] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": XLM_ROBERTA,
    "camembert": CAMEMBERT,
    "distilbert": DISTILBERT,
    "mpnet": MPNET,
    "electra": ELECTRA,
    "modernbert": MODERNBERT,
    "albert": ALBERT,
    "nomic_bert": NOMICBERT,
    "deberta-v2": DEBERTA_V2,
}


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
        known = ", ".join(f"{name} ({a.class_prefix})" for name, a in ARCHITECTURES.items())
        raise ExportError(f"This is a {family} checkpoint; Cloze serves model_type {known}.")
    architecture = ARCHITECTURES[family]
    known_classes = classes_of(architecture)
    for name in fields.texts("architectures"):
        if _plain(name) not in known_classes:
            known = ", ".join(known_classes)
            raise ExportError(f"The architecture {name} is not one that Cloze serves: {known}.")
    own_code, named = (fields.values.get(name) is not None for name in ("auto_map", "model_type"))
    if own_code and not named:
        raise ExportError(
            f"{fields.file} asks for its own code (auto_map), which is never run, "
            "and names no model_type that could do without."
        )
    if (quantised := fields.values.get("quantization_config")) is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ExportError(
            f"{fields.file} says that the weights are quantised already (quantization_config, "
            f"{method or 'of no method'}); Cloze needs them as floating-point numbers."
        )
    for flag in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if fields.flag(flag, default=False):
            raise ExportError(f"{fields.file} sets {flag}; Cloze serves encoders.")
    return architecture.read_config(fields)


def declared_heads(fields: Fields, architecture: Architecture) -> frozenset[str]:
    """The heads, by name, of the classes that a config.json names; `read_config` knows them all."""
    classes = classes_of(architecture)
    named = (classes[_plain(name)] for name in fields.texts("architectures"))
    return frozenset[str]().union(*named)


def unused_settings(fields: Fields) -> dict[str, str]:
    """What a config.json asks for in vain, with the reason to show.

    transformers, which has classes of its own for these families, does not run an auto_map either,
    unless it is told to trust it.
    """
    if fields.values.get("auto_map") is None:
        return {}
    return {"auto_map": f"code of its own; transformers has {fields.text('model_type')} itself"}


def _plain(name: str) -> str:
    """The class of PyTorch for an encoder with the same weights and the same answers.

    That of another framework is called alike; one for generating text is, without a decoder's
    mask, one for masked words.

    >>> _plain("TFBertForTokenClassification"), _plain("BertLMHeadModel")
    ('BertForTokenClassification', 'BertForMaskedLM')
    """
    own = re.sub("^(TF|Flax)(?=[A-Z])", "", name)
    return re.sub("(LMHeadModel|ForCausalLM)$", "ForMaskedLM", own)


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
    classes = {name: has for name, has in classes.items() if not has & architecture.lacks}
    return classes | {prefix + name: has for name, has in architecture.more_classes.items()}


def class_of(architecture: Architecture, present: Collection[str]) -> str:
    """The class of transformers for these heads: that of the last one, and of as many as it can.

    >>> class_of(BERT, ("mlm", "nsp", "pooler")), class_of(BERT, ("pooler",))
    ('BertForPreTraining', 'BertModel')
    """
    order = [head.name for head in heads.HEADS]
    fitting = {
        name: sorted(map(order.index, has))
        for name, has in classes_of(architecture).items()
        if has <= set(present)
    }
    return max(fitting, key=lambda name: (fitting[name][-1:], len(fitting[name])))


def canonical_shapes(
    config: EncoderConfig, present: Collection[str], *, labels: int, tied: bool = True
) -> Shapes:
    """The shape of every weight of an encoder with these heads, by canonical name.

    `labels` counts the rows of heads with one row a label. A decoder that is `tied` is the word
    embeddings themselves and has no weight of its own.
    """
    architecture = architecture_of(config)
    shapes = architecture.embedding_shapes(config)
    for index in range(config.num_hidden_layers):
        shapes |= architecture.layer_shapes(config, f"layers.{index}")
    layers = architecture.head_layers(config)
    for head in heads_named(present):
        shapes |= _head_shapes(config, head, layers.get(head.name), labels)
    if MLM.name in present and not tied:
        shapes[UNTIED_DECODER] = (config.vocab_size, config.embedding_width)
    return shapes


def _head_shapes(config: EncoderConfig, head: Head, layer: HeadLayer | None, labels: int) -> Shapes:
    """The weights of a head and of the dense layer before its product."""
    H, E = config.hidden_size, config.embedding_width
    shapes = head.shapes(vocabulary=config.vocab_size, embedding=E, hidden=H, labels=labels)
    if layer is None:
        return shapes
    width = E if head.name == MLM.name else H
    shapes |= product_shapes(head.layer, width, H)
    if layer.norm:
        shapes |= norm_shapes(head.norm, width)
    absent = {f"{head.layer}.bias": not layer.bias, f"{head.norm}.bias": not layer.norm_bias}
    return {name: shape for name, shape in shapes.items() if not absent.get(name)}


def count_parameters(
    config: EncoderConfig,
    present: Collection[str],
    *,
    tied: bool = True,
    further: Shapes | None = None,
) -> dict[str, int]:
    """Exact counts of "embeddings", "encoder" and each head, their "total", and "textbook".

    The textbook estimate V·H + L·12·H² counts the word embeddings and the matrices of the layers,
    as one does on paper, with an intermediate size of 4·H; a `tied` decoder shares the word
    embeddings and is counted once. `further` are shapes of weights besides, of modules that pool.

    >>> base = EncoderConfig(30522, 768, 12, 12, 3072, 512, 2, "gelu")
    >>> count_parameters(base, ("pooler",))["total"]
    109482240
    """
    counts: dict[str, int] = {}
    shapes = canonical_shapes(config, present, labels=len(config.labels), tied=tied)
    for name, shape in (shapes | (further or {})).items():
        part = name.partition(".")[0].replace("layers", "encoder")
        counts[part] = counts.get(part, 0) + prod(shape)
    V, H, L = config.vocab_size, config.hidden_size, config.num_hidden_layers
    return counts | {"total": sum(counts.values()), "textbook": V * H + L * 12 * H * H}
