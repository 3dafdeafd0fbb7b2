"""The settings of a sentence-transformers folder in, typed choices out.

Two files hold them: config_sentence_transformers.json for the whole model, and a file beside the
Transformer, sentence_bert_config.json or what it was called before. Each setting is obeyed, is
harmless and stands in a table here, or is refused by name. Knows nothing of pooling or weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from export.errors import ExportError
from export.read.documents import Fields
from export.read.files import MODULES
from export.read.modules import SPLADE, Module, is_unset, require_known
from models.manifest import SHORTEST_TEXT, SIDES, TOKENIZER_FILE
from models.pooling import SIMILARITIES

MODEL_FILE: Final = "config_sentence_transformers.json"
TOKENIZER_CONFIG: Final = "tokenizer_config.json"
# In the order in which sentence-transformers looks for them.
TRANSFORMER_FILES: Final = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
SENTENCES, PAIRS, WORDS = "SentenceTransformer", "CrossEncoder", "SparseEncoder"

_OF_MODEL: Final = {
    "model_type", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim",
    # Harmless: which versions wrote the file and which it asks for, and float32 for some products.
    "__version__", "requirements", "keep_in_fp32_modules",
}  # fmt: skip
# Prompts that a model of today has anyway, both empty.
_ALWAYS_THERE: Final = {"query", "document"}
_OF_TRANSFORMER: Final = {
    "max_seq_length", "do_lower_case",  # the latter is read with the tokenizer
    "transformer_task", "modality_config", "module_output_name",  # compared with the only ones
    # Harmless: how a batch is laid out in memory.
    "unpad_inputs",
}  # fmt: skip
# What is handed on to transformers, by its old and its new name -> what of it changes no answer:
# types (an export has its own precision), kernels, devices, and where files are fetched from.
_FETCHED: Final = {
    "trust_remote_code", "revision", "token", "use_auth_token", "cache_dir", "local_files_only",
    "subfolder",
}  # fmt: skip
_HANDED_ON: Final[Mapping[str, set[str]]] = {
    "model_args": _FETCHED | {
        "torch_dtype", "dtype", "attn_implementation", "device_map", "low_cpu_mem_usage",
        "use_safetensors", "add_pooling_layer", "provider",
    },
    "tokenizer_args": _FETCHED | {
        "use_fast", "padding_side", "model_max_length", "truncation_side",
    },
    "config_args": _FETCHED,
}  # fmt: skip
_NEW_NAMES: Final = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
}
# What a model reads and where its rows come out, by what its folder is loaded as.
_TASKS: Final = {
    SENTENCES: ("feature-extraction", "last_hidden_state", "token_embeddings"),
    PAIRS: ("sequence-classification", "logits", "scores"),
    WORDS: ("fill-mask", "logits", "token_embeddings"),
}


@dataclass(frozen=True)
class ModelSettings:
    """What config_sentence_transformers.json asks."""

    kind: str = SENTENCES
    """What the folder is loaded as: "SentenceTransformer", "CrossEncoder", "SparseEncoder"."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    similarity: str | None = None
    dimensions: int | None = None
    activation: str | None = None
    """Path of what makes scores of a cross-encoder's logits."""


@dataclass(frozen=True)
class TransformerSettings:
    """What the files beside the Transformer ask of its texts."""

    max_tokens: int | None = None
    """The longest text to embed in tokens, None where no file says."""
    max_pair_tokens: int | None = None
    """The longest text or pair to classify in tokens, None where no file says."""
    truncation_side: str = "right"


def read_model_settings(root: Path, modules: tuple[Module, ...]) -> ModelSettings:
    """The settings of a folder with modules; without any, sentence-transformers reads none either.

    Raises:
        ExportError: one cannot be obeyed.
    """
    if not modules:
        return ModelSettings()
    fields = Fields.of(root / MODEL_FILE, optional=True)
    kind = fields.text("model_type", SENTENCES)
    if kind not in _TASKS:
        raise ExportError(f"{MODEL_FILE} says model_type {kind}; Cloze serves {', '.join(_TASKS)}.")
    if (kind == WORDS) != any(module.kind == SPLADE for module in modules):
        raise ExportError(
            f"{MODEL_FILE} says model_type {kind}, and {MODULES} lists "
            f"{', '.join(module.kind for module in modules)}: a {SPLADE} belongs to a {WORDS}."
        )
    if kind == PAIRS and len(modules) > 1:
        raise ExportError(
            f"{MODULES} lists {', '.join(module.kind for module in modules)} of a {PAIRS}; "
            "Cloze serves a Transformer alone, whose classifier gives the scores."
        )
    require_known(fields, _OF_MODEL | ({"activation_fn"} if kind == PAIRS else set()))
    prompts, default = _prompts(fields)
    if kind == PAIRS and any(prompts.values()):
        raise ExportError(f"{MODEL_FILE} has prompts for a {PAIRS}, which Cloze does not put in.")
    return ModelSettings(
        kind,
        prompts,
        default,
        similarity=_similarity(fields),
        dimensions=None
        if is_unset(fields.values.get("truncate_dim"))
        else fields.integer("truncate_dim"),
        activation=fields.text("activation_fn", "") or None,
    )


def read_transformer_settings(folder: Path, kind: str | None) -> TransformerSettings:
    """The settings of a Transformer's folder.

    `kind` is `ModelSettings.kind`, None in a folder without modules, of which sentence-transformers
    reads the tokenizer's configuration alone.

    Raises:
        ExportError: one cannot be obeyed.
    """
    fields = transformer_fields(folder) if kind is not None else Fields({}, TRANSFORMER_FILES[0])
    handed_on = {name for pair in _NEW_NAMES.items() for name in pair}
    require_known(fields, _OF_TRANSFORMER | handed_on)
    _require_text_alone(fields, kind or SENTENCES)
    given = {name: _handed_on(fields, name) for name in _NEW_NAMES}["tokenizer_args"]
    tokenizer = Fields.of(folder / TOKENIZER_CONFIG, optional=True)
    usual = _length(tokenizer, "model_max_length") or _length(tokenizer, "max_len")
    named = _length(given, "model_max_length") or _length(fields, "max_seq_length") or usual
    require_room(named, SHORTEST_TEXT, "text")
    # A cross-encoder's own settings are of pairs; those of sentences are not.
    of_pairs = named if kind == PAIRS else usual
    return TransformerSettings(named, of_pairs, _side(folder, given, tokenizer))


def transformer_fields(folder: Path) -> Fields:
    """The file beside a Transformer, the first that says something; no fields without one."""
    for name in TRANSFORMER_FILES:
        fields = Fields.of(folder / name, optional=True)
        if fields.values:
            return fields
    return Fields({}, TRANSFORMER_FILES[0])


def require_room(tokens: int | None, least: int, what: str) -> None:
    """Refuse a limit that leaves no room for a word in each part of `what`.

    Raises:
        ExportError: it is lower than `least`.
    """
    if tokens is not None and tokens < least:
        raise ExportError(
            f"The checkpoint reads {tokens} tokens at most (max_seq_length or model_max_length), "
            f"and a {what} of one word takes {least}."
        )


def _prompts(fields: Fields) -> tuple[dict[str, str], str | None]:
    """The prompts by name, and the name of the default one; null stands for an empty prompt."""
    given = fields.values.get("prompts")
    if isinstance(given, dict):
        given = {name: "" if text is None else text for name, text in given.items()}
    prompts = Fields({"prompts": given}, fields.file).mapping("prompts")
    default = fields.text("default_prompt_name", "") or None
    if default is None or default in prompts:
        return prompts, default
    if default in _ALWAYS_THERE:
        return prompts, None
    raise ExportError(f"default_prompt_name in {fields.file} is not among its prompts.")


def _similarity(fields: Fields) -> str | None:
    name = fields.text("similarity_fn_name", "") or None
    if name is not None and name not in SIMILARITIES:
        raise ExportError(
            f"{fields.file} compares vectors by {name}; Cloze knows {', '.join(SIMILARITIES)}."
        )
    return name


def _require_text_alone(fields: Fields, kind: str) -> None:
    """Refuse a Transformer that reads other things than text, or gives other rows."""
    task, rows, name = _TASKS[kind]
    only: dict[str, Any] = {
        "transformer_task": task,
        "modality_config": {"text": {"method": "forward", "method_output_name": rows}},
        "module_output_name": name,
    }
    for setting, wanted in only.items():
        found = fields.values.get(setting)
        if not is_unset(found) and found != wanted:
            raise ExportError(
                f"{fields.file} sets {setting} to {found}; Cloze serves {wanted} alone."
            )


def _handed_on(fields: Fields, old: str) -> Fields:
    """What is handed on to transformers under either name, the old one winning as it does there."""
    name = old if old in fields.values else _NEW_NAMES[old]
    value = fields.values.get(name)
    given = Fields.wrap({} if value is None else value, f"{name} of {fields.file}")
    require_known(given, _HANDED_ON[old])
    return given


def _length(fields: Fields, name: str) -> int | None:
    """A number of tokens, None where it is not set. Written as 1e30 where there is no bound."""
    return None if fields.values.get(name) is None else int(fields.number(name))


def _side(folder: Path, given: Fields, tokenizer: Fields) -> str:
    """The end that is cut off, as transformers finds it: the latest word wins."""
    stored = Fields.of(folder / TOKENIZER_FILE, optional=True).values.get("truncation")
    direction = stored.get("direction") if isinstance(stored, dict) else None
    side = direction.lower() if isinstance(direction, str) else "right"
    for fields in (tokenizer, given):
        side = fields.text("truncation_side", side)
    if side not in SIDES:
        raise ExportError(f"truncation_side is {side}; it must be one of {', '.join(SIDES)}.")
    return side
