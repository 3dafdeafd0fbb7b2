"""The fields of a config.json or bert_config.json in, a `BertConfig` out; another family refused.

Knows nothing of weights: that the shapes agree with these sizes is checked in
`export.read.weight_names`.
"""

from dataclasses import dataclass

from export.errors import ExportError
from export.read.documents import Fields

# Name in the file -> the function's one name here. "gelu_python" is how the first PyTorch BERT
# called the exact (erf) form.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_pytorch_tanh",
    "relu": "relu",
}
# Architecture -> what its `classifier` weights classify: nothing, the sequence, or each token.
ARCHITECTURES: dict[str, str | None] = {
    "BertModel": None,
    "BertForPreTraining": None,
    "BertForMaskedLM": None,
    "BertForNextSentencePrediction": None,
    "BertForSequenceClassification": "sequence",
    "BertForTokenClassification": "token",
    "BertForQuestionAnswering": None,
}


@dataclass(frozen=True)
class BertConfig:
    """The sizes and choices that make one BERT; sizes count rows, columns, layers or heads."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str  # "gelu" (erf) | "gelu_new" | "gelu_pytorch_tanh" | "relu"
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    labels: tuple[str, ...]  # id2label in order; () when the checkpoint has no classifier
    multi_label: bool  # labels are independent of each other: sigmoid, not softmax
    regression: bool = False  # labels are numbers that were learnt: neither


def read_config(fields: Fields) -> BertConfig:
    """The configuration of an encoder-only BERT with absolute positions.

    Defaults are those of the format: Google's bert_config.json has no layer_norm_eps.

    Raises:
        ExportError: another family, a decoder, or a choice that the graph cannot express.
    """
    _refuse_other_families(fields)
    hidden, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    if hidden % heads:
        raise ExportError(
            f"hidden_size {hidden} in {fields.file} does not divide into {heads} attention heads."
        )
    return BertConfig(
        vocab_size=fields.integer("vocab_size"),
        hidden_size=hidden,
        num_hidden_layers=fields.integer("num_hidden_layers"),
        num_attention_heads=heads,
        intermediate_size=fields.integer("intermediate_size"),
        hidden_act=_activation(fields),
        max_position_embeddings=fields.integer("max_position_embeddings", 512),
        type_vocab_size=fields.integer("type_vocab_size", 2),
        layer_norm_eps=fields.number("layer_norm_eps", 1e-12),
        labels=_labels(fields),
        multi_label=fields.text("problem_type", "") == "multi_label_classification",
        regression=fields.text("problem_type", "") == "regression",
    )


def classifier_meaning(fields: Fields) -> str | None:
    """What a classifier reads, "sequence" or "token", as `architectures` says; else None."""
    meanings = {ARCHITECTURES.get(name) for name in fields.texts("architectures")} - {None}
    return meanings.pop() if len(meanings) == 1 else None


def _refuse_other_families(fields: Fields) -> None:
    family = fields.text("model_type", "bert")
    if family != "bert":
        raise ExportError(f"This is a {family} checkpoint; Cloze serves BERT (model_type bert).")
    for name in fields.texts("architectures"):
        if name not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ExportError(f"The architecture {name} is not one that Cloze serves: {known}.")
    if "auto_map" in fields.values:
        raise ExportError(f"{fields.file} asks for its own code (auto_map), which is never run.")
    for flag in ("is_decoder", "add_cross_attention", "is_encoder_decoder"):
        if fields.flag(flag, default=False):
            raise ExportError(f"{fields.file} sets {flag}; Cloze serves BERT as an encoder.")
    positions = fields.text("position_embedding_type", "absolute")
    if positions != "absolute":
        raise ExportError(
            f"{fields.file} asks for {positions} position embeddings; Cloze serves absolute ones."
        )


def _activation(fields: Fields) -> str:
    name = fields.text("hidden_act", "gelu")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ExportError(f"The activation {name} is not one that Cloze serves: {known}.")
    return ACTIVATIONS[name]


def _labels(fields: Fields) -> tuple[str, ...]:
    """id2label by rising id; its keys are decimal strings because JSON has no other."""
    labels = fields.mapping("id2label")
    if set(labels) != {str(index) for index in range(len(labels))}:
        raise ExportError(f"id2label in {fields.file} must number its labels 0, 1, 2 and so on.")
    return tuple(labels[str(index)] for index in range(len(labels)))
