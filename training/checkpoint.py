"""A checkpoint folder in Hugging Face's format in, a model out, and back.

Every tensor of a file is used or refused by name; a head that the file lacks is an error unless
the caller asks for a fresh one. Knows nothing of data or training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.config import read_config, write_config
from training.errors import TrainingError
from training.model import BertForPreTraining, BertModel

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
)  # fmt: skip
EMBEDDING_FILES = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
# Copies of what the model holds elsewhere (the tied decoder) or computes itself.
_COPIES = {
    "bert.embeddings.position_ids": "",
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def load_encoder(folder: Path) -> BertModel:
    """The encoder of any BERT checkpoint, in float32; its heads are passed over."""
    config, _ = read_config(folder)
    holder = BertForPreTraining(config)
    tensors = _encoder_part(read_tensors(folder))
    fill(holder, tensors, folder, fresh=("cls.", "bert.pooler."))
    return holder.bert


def load_pretraining(folder: Path, *, fresh_heads: bool = False) -> BertForPreTraining:
    """A checkpoint with both heads, in float32.

    With `fresh_heads` what a bare encoder lacks (its heads and pooler) starts from noise. Raises
    `TrainingError` for a tensor that is missing, left over or of another shape.
    """
    config, _ = read_config(folder)
    model = BertForPreTraining(config)
    fill(model, read_tensors(folder), folder, fresh=("cls.", "bert.pooler.") if fresh_heads else ())
    return model


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a checkpoint in float32, under the names of a model with heads (`bert.…`)."""
    tensors: dict[str, Tensor] = {}
    for path in _weight_files(folder):
        try:
            tensors |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise TrainingError(f"{path} cannot be read: {error}.") from None
    names = {name: _current_name(name) for name in tensors}
    return {names[name]: tensor.float() for name, tensor in tensors.items()}


def fill(
    model: nn.Module, tensors: dict[str, Tensor], folder: Path, *, fresh: Collection[str] = ()
) -> None:
    """Copy `tensors` into `model`; only names that begin with one of `fresh` may be missing."""
    tensors = {name: tensor for name, tensor in tensors.items() if not _is_copy(name, tensors)}
    wanted = model.state_dict()
    left = sorted(set(tensors) - set(wanted))
    missing = sorted(
        name for name in set(wanted) - set(tensors) if not name.startswith(tuple(fresh))
    )
    for names, what in ((left, "has tensors that no part reads"), (missing, "lacks tensors")):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise TrainingError(f"The checkpoint {folder} {what}: {', '.join(names[:3])}{more}.")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            found, expected = tuple(tensor.shape), tuple(wanted[name].shape)
            raise TrainingError(f"In {folder}, {name} has shape {found}, expected {expected}.")
    model.load_state_dict(tensors, strict=False)


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    source: Path,
    *,
    architecture: str = "BertForPreTraining",
    embeddings: bool = False,
    **config: object,
) -> None:
    """Write `model` as the new folder `folder`, complete or not at all.

    Args:
        folder: the folder to be; replaced when there.
        model: a model with a `config`, whose tensor names are Hugging Face's.
        source: the checkpoint or corpus folder whose tokenizer it was trained with.
        architecture: Hugging Face's class name.
        embeddings: also say how sentence vectors are pooled (the mean), in the files of
            sentence-transformers.
        config: further values for config.json (labels, say).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new = Path(scratch) / "checkpoint"
        new.mkdir()
        tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        save_file(tensors, new / WEIGHTS_FILE, metadata={"format": "pt"})
        # safetensors makes files that only their owner may read; a server runs as another user.
        (new / WEIGHTS_FILE).chmod(0o644)
        write_config(new, model.config, architecture, **config)  # type: ignore[arg-type]
        copy_tokenizer(source, new)
        if embeddings:
            _write_embedding_files(new, int(model.config.hidden_size))  # type: ignore[union-attr, arg-type]
        if folder.exists():
            shutil.rmtree(folder)
        new.rename(folder)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files from one folder to another; `tokenizer.json` must be there."""
    if not (source / TOKENIZER_FILES[0]).is_file():
        raise TrainingError(f"{source} holds no {TOKENIZER_FILES[0]}.")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    if (folder / INDEX_FILE).is_file():
        index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    raise TrainingError(f"{folder} holds no {WEIGHTS_FILE}; training reads safetensors only.")


def _current_name(name: str) -> str:
    """The name as a model with heads has it today.

    >>> _current_name("encoder.layer.0.output.LayerNorm.gamma")
    'bert.encoder.layer.0.output.LayerNorm.weight'
    """
    for old, new in _OLD_NAMES.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    bare = name.startswith(("embeddings.", "encoder.", "pooler."))
    return f"bert.{name}" if bare else name


def _is_copy(name: str, tensors: dict[str, Tensor]) -> bool:
    if name not in _COPIES:
        return False
    original = tensors.get(_COPIES[name])
    if original is not None and not torch.equal(original, tensors[name]):
        raise TrainingError(
            f"{name} differs from {_COPIES[name]}; training ties the decoder to the word table."
        )
    return True


def _encoder_part(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t for name, t in tensors.items() if name.startswith("bert.")}


def _write_embedding_files(folder: Path, hidden: int) -> None:
    modules, limits, pooling = EMBEDDING_FILES
    kinds = ("Transformer", "Pooling", "Normalize")
    paths = ("", "1_Pooling", "2_Normalize")
    documents: dict[str, object] = {
        modules: [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
        limits: {"max_seq_length": 512, "do_lower_case": False},
        pooling: {"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True},
    }
    for name, document in documents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
