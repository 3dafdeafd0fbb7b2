"""What a fine-tuning must know of a task (inputs, head, loss, measures), its options and its model.

Letters: B batch, S sequence, H hidden, R rows that are read, K logits. Knows nothing of files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.heads import Head, Reads
from training.device import PRECISIONS
from training.errors import TrainingError
from training.finetune.inputs import Input, InputBatch
from training.model import BertModel
from training.options import flag, option

CLASS_WEIGHTS = ("none", "balanced")

Float32 = NDArray[np.float32]
Measures = dict[str, float]
Loss = Callable[[Tensor, InputBatch], Tensor]
"""Float (rows of a batch, K) and the batch -> its mean loss, float ()."""


@dataclass(frozen=True)
class Split:
    """The examples of one file, ready for the encoder."""

    examples: int
    inputs: Sequence[Input]
    score: Callable[[Sequence[Float32]], Measures]
    """Logits of each input, float32 (rows, K) -> measures; of the watched one more is better."""
    lengths: Sequence[int] = ()  # tokens of each example as it is, cut or not


@dataclass(frozen=True)
class Task:
    """One task with its data."""

    head: Head
    loss: Loss
    watched: str  # the measure by which the best epoch is chosen
    labels: tuple[str, ...]  # in the order of the logits; none for spans
    train: Split
    dev: Split | None
    problem: str | None = None  # as config.json names what is learnt of a text's label

    def config(self) -> dict[str, Any]:
        """What config.json says besides the encoder."""
        said: dict[str, Any] = {}
        if self.labels:
            said["id2label"] = {str(index): label for index, label in enumerate(self.labels)}
            said["label2id"] = {label: index for index, label in enumerate(self.labels)}
        if self.problem:
            said["problem_type"] = self.problem
        return said


@dataclass(frozen=True)
class Options:
    """How a task is learnt; `training.finetune.defaults` says what a 0 stands for."""

    epochs: int = option(0, "passes over the training data; 0 for what fits the number of rows")
    rate: float = option(0.0, "highest learning rate; 0 for what fits the model's size")
    batch_size: int = option(
        0, "examples (or parts of long ones) at a time; 0 for what fits the number of rows"
    )
    accumulate: int = option(1, "so many of these batches make a step, for less memory")
    precision: str = option("fp32", f"of the products in training: {' or '.join(PRECISIONS)}")
    class_weights: str = option(
        "none", "balanced: rare labels count as much as frequent ones; or none"
    )
    max_tokens: int | None = option(
        None, "longest input; default: 128, questions 384, or what the model has room for", kind=int
    )
    overlap: int = option(128, "tokens that neighbouring windows of a long context share")
    patience: int = option(2, "epochs without a better dev measure before it stops")
    warm_up: float = option(0.1, "share of the steps in which the rate rises")
    dropout: float | None = option(None, "default: the checkpoint's own", kind=float)
    seed: int = option(0, "of the new layer, of dropout and of the order of examples")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("accumulate", "patience"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{flag(name)} must be at least 1.")
        for name, choices in (("precision", PRECISIONS), ("class_weights", CLASS_WEIGHTS)):
            if getattr(self, name) not in choices:
                raise TrainingError(f"{flag(name)} must be one of {', '.join(choices)}.")
        for name in ("warm_up", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise TrainingError(f"{flag(name)} must be at least 0 and below 1.")
        for name in ("epochs", "rate", "batch_size", "overlap", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TrainingError(f"{flag(name)} must be a number of at least 0.")

    @property
    def step_size(self) -> int:
        """Inputs of a step."""
        return self.batch_size * self.accumulate


class BertHead(nn.Module):
    """An encoder and the layer that reads it: a head that is one product.

    With the names of Hugging Face's checkpoints (`bert.*`, `classifier.*`, `qa_outputs.*`), so that
    `state_dict()` is one.
    """

    def __init__(self, bert: BertModel, head: Head, labels: int = 0) -> None:
        """`labels` are the numbers that it gives for each row, where the head does not say."""
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self._pooled = head.reads is Reads.POOLED
        if not self._pooled:
            del bert.pooler  # it would be saved without ever having been trained
        # As in the paper's code, spans are read without dropout.
        self.dropout = nn.Dropout(0.0 if head.width else self.config.hidden_dropout_prob)
        (self._name,) = head.modules.values()
        layer = nn.Linear(self.config.hidden_size, head.width or labels)
        nn.init.normal_(layer.weight, std=self.config.initializer_range)
        nn.init.zeros_(layer.bias)
        self.add_module(self._name, layer)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, batch: InputBatch) -> Tensor:
        """The logits of the rows that are read, float (R, K)."""
        hidden = self.bert(batch.ids, batch.token_types, batch.lengths, batch.rows)
        hidden = self.bert.pooled(hidden) if self._pooled else hidden
        return cast("Tensor", self.get_submodule(self._name)(self.dropout(hidden)))
