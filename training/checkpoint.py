"""A checkpoint folder in Hugging Face's format in, a model out, and back.

Every tensor of the encoder is used or refused by name, as in an export; heads that are not asked
for are passed over. Knows nothing of data or training.
"""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from export.architectures.bert import BERT
from export.read.tensors import SINGLE, open_folder
from export.read.weight_names import canonical_name, checkpoint_key, map_names
from export.read.weights import CheckpointWeights
from models.heads import MLM, NSP, POOLER
from training.config import read_config, read_shape, write_config
from training.errors import TrainingError, refusing
from training.model import BertForPreTraining, BertModel
from training.tokenizer_settings import SETTINGS_FILE, write_settings
from training.vocabulary import TOKENIZER_FILE

TOKENIZER_FILES = (TOKENIZER_FILE, SETTINGS_FILE, "special_tokens_map.json", "vocab.txt")
EMBEDDING_FILES = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
PRETRAINING = (MLM.name, NSP.name, POOLER.name)


def load_encoder(folder: Path, *, dropout: float | None = None) -> BertModel:
    """The encoder of any BERT checkpoint, in float32; what it lacks of a pooler is noise.

    `dropout` takes the place of the checkpoint's own.
    """
    return _read(folder, dropout, heads=[POOLER.name])[0].bert


def load_pretraining(
    folder: Path, *, fresh_heads: bool = False, dropout: float | None = None
) -> BertForPreTraining:
    """A checkpoint with both heads, in float32; `dropout` as in `load_encoder`.

    With `fresh_heads` what a bare encoder lacks (its heads and pooler) starts from noise. Raises
    `TrainingError` for a tensor that is missing, left over or of another shape.
    """
    model, heads = _read(folder, dropout)
    if not fresh_heads and (missing := [head for head in PRETRAINING if head not in heads]):
        raise TrainingError(f"The checkpoint {folder} lacks the heads {', '.join(missing)}.")
    return model


def read_weights(
    folder: Path, *, heads: Collection[str] = PRETRAINING
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors of a checkpoint's encoder and of those of `heads` that it has, and these heads.

    Float32, by the names of a model with heads (`bert.…`).
    """
    with refusing(folder):
        stored = open_folder(folder)
        if stored is None:
            raise TrainingError(f"{folder} holds no {SINGLE}; training reads safetensors only.")
        shapes = {key: shape for key, shape in stored.shapes.items() if _is_part(key, heads)}
        source = replace(stored, shapes=shapes)
        found = map_names(source, read_shape(folder), declared=heads, tied=True)
        weights = CheckpointWeights(source, found.names)
        tensors = {
            checkpoint_key(name, BERT.weight_names): torch.from_numpy(weights[name])
            for name in weights
        }
    if "cls.predictions.decoder.weight" in tensors:
        raise TrainingError(
            f"The decoder of {folder} is not its word table; training ties the two."
        )
    return tensors, found.heads


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    source: Path,
    *,
    architecture: str = "BertForPreTraining",
    embeddings: bool = False,
    files: Mapping[str, str] | None = None,
    scratch: Path | None = None,
    **config: object,
) -> None:
    """Write `model` as the new folder `folder`, complete or not at all.

    What was there before stays until the new one is complete.

    Args:
        folder: the folder to be; replaced when there.
        model: a model with a `config`, whose tensor names are Hugging Face's.
        source: the checkpoint or corpus folder whose tokenizer it was trained with.
        architecture: Hugging Face's class name.
        embeddings: also say how sentence vectors are pooled (the mean), in the files of
            sentence-transformers.
        files: further files, by name, with their text.
        scratch: a folder of the same disk in which it is made, where a kill may leave a part of
            it; that of `folder` when None.
        config: further values for config.json (labels, say).
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(folder, scratch or folder.parent) as made_in:
        new = Path(made_in) / "checkpoint"
        new.mkdir()
        tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
        save_file(tensors, new / SINGLE, metadata={"format": "pt"})
        # safetensors makes files that only their owner may read; a server runs as another user.
        (new / SINGLE).chmod(0o644)
        write_config(new, model.config, architecture, **config)  # type: ignore[arg-type]
        copy_tokenizer(source, new)
        write_settings(new, model.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]
        if embeddings:
            _write_embedding_files(new, int(model.config.hidden_size))  # type: ignore[union-attr, arg-type]
        for name, text in (files or {}).items():
            (new / name).write_text(text, encoding="utf-8")
        if folder.exists():  # removed with the scratch folder, after the new one has its place
            folder.rename(new.with_name("before"))
        new.rename(folder)


@contextmanager
def _scratch(folder: Path, place: Path) -> Iterator[str]:
    """A folder in `place` for what will be `folder`; a `TrainingError` where there is no room."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=place) as scratch:
            yield scratch
    except (OSError, SafetensorError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise TrainingError(
            f"{folder} cannot be written: {said}. What was there before is there still."
        ) from None


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files from one folder to another; `tokenizer.json` must be there."""
    if not (source / TOKENIZER_FILES[0]).is_file():
        raise TrainingError(f"{source} holds no {TOKENIZER_FILES[0]}.")
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _read(
    folder: Path, dropout: float | None, *, heads: Collection[str] = PRETRAINING
) -> tuple[BertForPreTraining, tuple[str, ...]]:
    """A model with the weights that a checkpoint has, and the heads that it has."""
    config = read_config(folder)
    model = BertForPreTraining(config if dropout is None else config.with_dropout(dropout))
    tensors, found = read_weights(folder, heads=heads)
    model.load_state_dict(tensors, strict=False)
    return model, found


def _is_part(key: str, heads: Collection[str]) -> bool:
    """Whether a checkpoint's key is of the encoder or of one of these heads.

    >>> _is_part("classifier.bias", ["token"]), _is_part("classifier.bias", ["mlm"])
    (True, False)
    >>> _is_part("encoder.layer.0.output.LayerNorm.gamma", [])
    True
    """
    name = canonical_name(key, BERT.weight_names, heads)
    if name is None:  # of the encoder, it is a reason to refuse the whole
        return key.startswith(("bert.", "embeddings.", "encoder."))
    return name.startswith(("embeddings.", "layers.")) or name.partition(".")[0] in heads


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
