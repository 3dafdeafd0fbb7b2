"""A checkpoint and sequences of token ids in, hidden rows and scores of tokens out.

A checkpoint need not have every head: an encoder is measured by its sentence vectors alone. Every
forward run of evaluation is here: in float32, without gradients, in padded batches of like lengths.
Knows not what is measured.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from models.heads import MLM, NSP
from training.checkpoint import read_weights
from training.config import read_config
from training.errors import TrainingError
from training.masking import Padded
from training.model import BertForPreTraining, BertModel
from training.objectives import SentenceTensors
from training.vocabulary import Vocabulary, read_model_tokenizer, read_tokenizer

SEED = 20181011  # the day of the paper; the same for every checkpoint, so that figures compare
BATCH_TOKENS = 4096  # padded tokens per forward run
_LOGIT_ROWS = 512  # rows of logits held at once: 62 MB in float32 with 30,522 words

Ids = NDArray[np.int64]
T = TypeVar("T")


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
        weights_sha256=weights_digest(tensors),
    )


def check_same_vocabulary(subject: Subject, corpus: Path) -> None:
    """Raise `TrainingError` when ids of the corpus mean other tokens to the checkpoint."""
    theirs = read_tokenizer(corpus).get_vocab()
    if theirs != subject.tokenizer.get_vocab():
        raise TrainingError(
            f"The corpus {corpus} was built with another vocabulary than that of {subject.name}; "
            "build one with the checkpoint's tokenizer."
        )


def weights_digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all weights in float32, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TokenScores:
    """What the model says of wanted tokens."""

    ranks: Ids  # (n,), 0 for the model's first choice
    log_probabilities: NDArray[np.float64]  # (n,), natural


def progress(batches: Iterable[T], name: str) -> Iterator[T]:
    """The batches, with a bar on a terminal."""
    yield from tqdm(batches, desc=name, unit=" batches", disable=None, leave=False)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout, no gradients, float32; afterwards the model is as it was."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            yield
    finally:
        model.train(was_training)


def length_batches(lengths: Ids, batch_tokens: int = BATCH_TOKENS) -> list[Ids]:
    """Int64 (n,) -> int64 (batch,) each, which sequences go together: sorted by length.

    A batch holds at most `batch_tokens` padded tokens, or a single sequence.

    >>> [batch.tolist() for batch in length_batches(np.array([5, 2, 3, 9]), batch_tokens=6)]
    [[1, 2], [0], [3]]
    """
    batches: list[list[int]] = [[]]
    for index in np.argsort(lengths, kind="stable"):
        if batches[-1] and (len(batches[-1]) + 1) * lengths[index] > batch_tokens:
            batches.append([])
        batches[-1].append(int(index))
    return [np.array(batch) for batch in batches if batch]


def hidden_rows(encoder: BertModel, batch: Padded, rows: Ids | None = None) -> Tensor:
    """float32 (n, hidden): the last hidden state at int64 (n,) flat rows, or at all."""
    device = next(encoder.parameters()).device
    there = SentenceTensors.of(batch, device)
    wanted = None if rows is None else torch.from_numpy(rows).to(device)
    return cast("Tensor", encoder(there.ids, there.token_types, there.lengths, wanted))


def score_tokens(model: BertForPreTraining, hidden: Tensor, wanted: Ids) -> TokenScores:
    """How the model ranks and rates `wanted` int64 (n,) at the rows `hidden` float32 (n, hidden).

    A tie counts against the wanted token, so that a model that says nothing gets nothing.
    Raises `TrainingError` when the model computes no numbers (NaN or infinity).
    """
    targets = torch.from_numpy(wanted).to(hidden.device)
    places, logs = [], []
    for start in range(0, len(wanted), _LOGIT_ROWS):
        rows, ids = hidden[start : start + _LOGIT_ROWS], targets[start : start + _LOGIT_ROWS]
        logits = model.mlm_logits(rows)
        chosen = logits.gather(1, ids[:, None])
        places.append((logits >= chosen).sum(1) - 1)
        logs.append(chosen.squeeze(1).double() - logits.double().logsumexp(1))
    return TokenScores(torch.cat(places).cpu().numpy(), finite(torch.cat(logs)))


def finite(values: Tensor) -> NDArray[Any]:
    """The same numbers on the CPU; a `TrainingError` when one is NaN or infinite."""
    if not values.isfinite().all():
        raise TrainingError("The checkpoint computes logits that are not finite numbers.")
    return values.cpu().numpy()
