"""An encoder in Cloze's terms in, the files of a checkpoint in Hugging Face's format out.

The inverse of what `checkpoint` reads: config.json, model.safetensors, the tokenizer, and the files
in which sentence-transformers says how sentence vectors are pooled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from export.architectures.registry import architecture_of, class_of
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.pooling import MODULES, POOLING_FLAGS
from export.read.tensors import SINGLE
from export.read.weight_names import checkpoint_key, module_key
from export.read.weights import DECODER_BIAS, UNTIED_DECODER
from models.manifest import POOLING_MODES, TOKENIZER_FILE, PoolingSpec
from models.tokenizer_file import SPECIAL

_MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}


def write_weights(
    folder: Path, weights: Mapping[str, NDArray[np.float32]], config: EncoderConfig
) -> None:
    """model.safetensors, from weights by canonical name."""
    names = architecture_of(config).weight_names
    tensors = {checkpoint_key(name, names): value for name, value in weights.items()}
    if UNTIED_DECODER in weights:  # transformers then ties no bias either, and reads the decoder's
        tensors[module_key(DECODER_BIAS, names)] = weights[DECODER_BIAS].copy()
    try:
        save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    except SafetensorError as error:
        raise ExportError(f"{SINGLE} cannot be written: {error}.") from None
    # safetensors makes files that only their owner may read.
    (folder / SINGLE).chmod(0o644)


def write_config(
    folder: Path, config: EncoderConfig, heads: tuple[str, ...], *, tied: bool
) -> None:
    """config.json, without what a model folder does not know: dropout is the format's default."""
    architecture = architecture_of(config)
    pad = Tokenizer.from_file(str(folder / TOKENIZER_FILE)).token_to_id("[PAD]")
    document = {
        "architectures": [class_of(architecture, heads)],
        "model_type": config.model_type,
        **architecture.config_fields(config),
        "pad_token_id": pad,
        "tie_word_embeddings": tied,
    }
    if config.labels:
        document["id2label"] = {str(index): label for index, label in enumerate(config.labels)}
        document["label2id"] = {label: index for index, label in enumerate(config.labels)}
    if config.multi_label or config.regression:
        kind = "multi_label_classification" if config.multi_label else "regression"
        document["problem_type"] = kind
    _write(folder / "config.json", document)


def write_tokenizer(folder: Path, tokenizer_json: str, *, max_tokens: int) -> None:
    """The tokenizer as it is, and a configuration that leaves it so."""
    (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
    known = Tokenizer.from_str(tokenizer_json)
    special = [token for token in SPECIAL if known.token_to_id(token) is not None]
    # BertTokenizer would set the normaliser anew, from options; this class takes the file's.
    document: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **{f"{token[1:-1].lower()}_token": token for token in special},
    }
    _write(folder / "tokenizer_config.json", document)


def write_pooling(folder: Path, pooling: PoolingSpec, hidden: int) -> None:
    """The files of sentence-transformers: how rows become a sentence vector, and its prompts."""
    kinds = [kind for kind in _MODULES if kind != "Normalize" or pooling.normalize]
    entries = [
        {
            "idx": index,
            "name": str(index),
            "path": _MODULES[kind],
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    limits = {"max_seq_length": pooling.max_tokens, "do_lower_case": False}
    flags = {
        flag: mode == pooling.mode for flag, mode in POOLING_FLAGS.items() if mode in POOLING_MODES
    }
    _write(folder / MODULES, entries)
    _write(folder / "sentence_bert_config.json", limits)
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden} | flags)
    if pooling.prompts:
        named = {"prompts": dict(pooling.prompts), "default_prompt_name": pooling.default_prompt}
        _write(folder / "config_sentence_transformers.json", named)


def _write(path: Path, document: object) -> None:
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
