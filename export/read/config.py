"""The fields of a config.json in, the sizes and choices of an `EncoderConfig` out.

Which families there are, and what each refuses, is in `export.architectures`. That the shapes of
weights agree with these sizes is checked in `export.read.weight_names`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from export.errors import ExportError
from export.read.documents import Fields
from models.manifest import Architecture

# Name in the file -> the function's one name here. "gelu_python" is how the first PyTorch BERT
# called the exact (erf) form. Those of its tanh approximation differ in the order of rounding.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_accurate": "gelu_new",
    "gelu_python_tanh": "gelu_new",
    "gelu_pytorch_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
    "silu": "silu",
}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(Architecture):
    """The sizes and choices that make one encoder; sizes count rows, columns, layers or heads.

    `hidden_act` is one of the values of `ACTIVATIONS`; `model_type` is the encoder's family, a key
    of `architectures.registry.ARCHITECTURES`.
    """

    layer_norm_eps: float = 1e-12
    # Of the classifier, set once its rows are known (`export.read.labels`); none without one.
    labels: tuple[str, ...] = ()
    multi_label: bool = False  # labels are independent of each other: sigmoid, not softmax
    regression: bool = False  # labels are numbers that were learnt: neither


# Sizes that config.json gives -> what they are where it does not.
_COUNTS = {
    "vocab_size": None,
    "hidden_size": None,
    "num_hidden_layers": None,
    "num_attention_heads": None,
    "intermediate_size": None,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
MOST_LAYERS = 1000  # more than any encoder has; what a layer consists of is listed for each
# What `read_sizes` reads under the same name.
SIZES = (*_COUNTS, "hidden_act", "layer_norm_eps")


def read_sizes(fields: Fields, names: Mapping[str, str] = MappingProxyType({})) -> EncoderConfig:
    """The sizes and choices of an encoder, under the names that BERT's config.json has for them.

    `names` says which the family calls otherwise. Defaults are those of the format: Google's
    bert_config.json has no layer_norm_eps.

    Raises:
        ExportError: a field is missing or wrong, or a choice that the graph cannot express.
    """
    called = {name: names.get(name, name) for name in SIZES}
    counts: dict[str, Any] = {
        name: fields.integer(called[name], default) for name, default in _COUNTS.items()
    }
    if counts["num_hidden_layers"] > MOST_LAYERS:
        raise ExportError(
            f"{called['num_hidden_layers']} in {fields.file} must be a whole number of at most "
            f"{MOST_LAYERS}."
        )
    hidden, heads = counts["hidden_size"], counts["num_attention_heads"]
    if hidden % heads:
        raise ExportError(
            f"{called['hidden_size']} {hidden} in {fields.file} does not divide into {heads} "
            "attention heads."
        )
    return EncoderConfig(
        **counts,
        hidden_act=read_activation(fields, called["hidden_act"]),
        layer_norm_eps=fields.number(called["layer_norm_eps"], 1e-12),
        model_type=fields.text("model_type", "bert"),
    )


def read_activation(fields: Fields, field: str) -> str:
    """The activation that a field names, by its one name here; GELU where there is none.

    Raises:
        ExportError: it is not one that the graph can express.
    """
    name = fields.text(field, "gelu")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ExportError(f"The activation {name} is not one that Cloze serves: {known}.")
    return ACTIVATIONS[name]
