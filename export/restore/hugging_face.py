"""An encoder in Cloze's terms in, the files of a checkpoint in Hugging Face's format out.

The inverse of what `checkpoint` reads: config.json, model.safetensors and the tokenizer. What
sentence-transformers adds is in `sentence_folder`.
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
from export.read.cross_encoder import ACTIVATIONS as SCORES
from export.read.cross_encoder import FIELD, SECTION
from export.read.fused import fuse
from export.read.sentence_settings import TOKENIZER_CONFIG
from export.read.tensors import SINGLE
from export.read.torch_classes import torch_path
from export.read.vocabulary import VOCABULARY
from export.read.weight_names import checkpoint_key, module_key
from export.read.weights import DECODER_BIAS, UNTIED_DECODER
from export.restore.japanese import options_of, vocabulary_of
from models.manifest import TOKENIZER_FILE
from models.tokenizer_spec import TokenizerSpec


def write_weights(
    folder: Path, weights: Mapping[str, NDArray[np.float32]], config: EncoderConfig
) -> None:
    """model.safetensors, from weights by canonical name."""
    names = architecture_of(config).weight_names
    tensors = {checkpoint_key(name, names): value for name, value in weights.items()}
    if UNTIED_DECODER in weights:  # transformers then ties no bias either, and reads the decoder's
        tensors[module_key(DECODER_BIAS, names)] = weights[DECODER_BIAS].copy()
    save_tensors(folder / SINGLE, fuse(tensors))


def write_config(
    folder: Path,
    config: EncoderConfig,
    heads: tuple[str, ...],
    *,
    tied: bool,
    pad_id: int | None,
    activation: str | None = None,
) -> None:
    """config.json, without what a model folder does not know: dropout is the format's default.

    `pad_id` is that of the padding token; `activation` is what makes scores of a classifier's
    logits, where the model says it.
    """
    architecture = architecture_of(config)
    document = {
        "architectures": [class_of(architecture, heads)],
        "model_type": config.model_type,
        "pad_token_id": pad_id,
        **architecture.config_fields(config),
        "tie_word_embeddings": tied,
    }
    if config.labels:
        document["id2label"] = {str(index): label for index, label in enumerate(config.labels)}
        document["label2id"] = {label: index for index, label in enumerate(config.labels)}
    if config.multi_label or config.regression:
        kind = "multi_label_classification" if config.multi_label else "regression"
        document["problem_type"] = kind
    if activation is not None:
        document[SECTION] = {FIELD: torch_path(activation, SCORES)}
    write_json(folder / "config.json", document)


def write_tokenizer(
    folder: Path,
    tokenizer_json: str,
    spec: TokenizerSpec,
    *,
    max_tokens: int,
    truncation_side: str = "right",
    segments: bool = True,
) -> None:
    """The tokenizer as it is, and a configuration that leaves it so.

    Where the encoder reads no `segments`, transformers must not give it any. Japanese words have a
    class of their own.
    """
    known = Tokenizer.from_str(tokenizer_json)
    types = ["token_type_ids"] if segments and spec.segments else []
    spelled = {name: getattr(spec, name) for name in ("pad", "unk", "cls", "sep", "mask")}
    document: dict[str, Any] = {
        "model_max_length": max_tokens,
        "truncation_side": truncation_side,
        "model_input_names": ["input_ids", *types, "attention_mask"],
        "clean_up_tokenization_spaces": spec.clean_up,
        **{f"{n}_token": t for n, t in spelled.items() if known.token_to_id(t) is not None},
    }
    if spec.words:
        (folder / VOCABULARY).write_text(vocabulary_of(tokenizer_json), encoding="utf-8")
        write_json(folder / TOKENIZER_CONFIG, document | options_of(tokenizer_json, spec))
        return
    (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
    # BertTokenizer would set the normaliser anew, from options; this class takes the file's.
    document["tokenizer_class"] = "PreTrainedTokenizerFast"
    first = json.loads(tokenizer_json)["pre_tokenizer"].get("add_prefix_space")
    if first is not None:
        document["add_prefix_space"] = first  # older versions of transformers set it anew too
    write_json(folder / TOKENIZER_CONFIG, document)


def save_tensors(path: Path, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """One safetensors file, as torch would write it."""
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise ExportError(f"{path.name} cannot be written: {error}.") from None
    path.chmod(0o644)  # safetensors makes files that only their owner may read


def write_json(path: Path, document: object) -> None:
    """One JSON file, in a folder that may not be there yet."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
