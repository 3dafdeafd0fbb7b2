"""A checkpoint folder in, what can be evaluated of it out: model, heads, tokenizer.

A checkpoint need not have every head: an encoder is measured by its sentence vectors alone.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.heads import MLM, NSP
from training.checkpoint import read_weights
from training.config import read_config
from training.errors import TrainingError
from training.model import BertForPreTraining
from training.vocabulary import Vocabulary, read_model_tokenizer, read_tokenizer


@dataclass(frozen=True, eq=False)
class Subject:
    """A checkpoint under evaluation."""

    name: str
    model: BertForPreTraining  # parts that the checkpoint lacks are noise and not to be used
    heads: frozenset[str]  # of "mlm" and "nsp", those whose weights are there
    tokenizer: Tokenizer  # adds [CLS] and [SEP]; neither pads nor truncates
    vocabulary: Vocabulary
    weights_sha256: str


def load_subject(folder: Path, device: torch.device | None = None) -> Subject:
    """Read a BERT checkpoint in float32; heads of other kinds are passed over.

    Raises `TrainingError` for a folder that is none, or whose parts are incomplete.
    """
    config = read_config(folder)
    tensors, heads = read_weights(folder)
    model = BertForPreTraining(config)
    model.load_state_dict(tensors, strict=False)
    tokenizer, vocabulary = read_model_tokenizer(folder, config.vocab_size)
    return Subject(
        name=folder.resolve().name,
        model=model.to(device or "cpu"),
        heads=frozenset(heads) & {MLM.name, NSP.name},
        tokenizer=tokenizer,
        vocabulary=vocabulary,
        weights_sha256=_digest(tensors),
    )


def check_same_vocabulary(subject: Subject, corpus: Path) -> None:
    """Raise `TrainingError` when ids of the corpus mean other tokens to the checkpoint."""
    theirs = read_tokenizer(corpus).get_vocab()
    if theirs != subject.tokenizer.get_vocab():
        raise TrainingError(
            f"The corpus {corpus} was built with another vocabulary than that of {subject.name}; "
            "build one with the checkpoint's tokenizer."
        )


def _digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all weights in float32, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
