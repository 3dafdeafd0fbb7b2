"""What a fine-tuning must know of a task (inputs, head, loss, measures), and its options."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.heads import SEQUENCE, Head
from training.errors import TrainingError
from training.finetune.inputs import Input, InputBatch
from training.options import flag, option

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
    """The logits of each input, float32 (rows, K) -> measures from 0 to 1."""


@dataclass(frozen=True)
class Task:
    """One task with its data."""

    head: Head
    loss: Loss
    watched: str  # the measure by which the best epoch is chosen
    labels: tuple[str, ...]  # in the order of the logits; none for spans
    train: Split
    dev: Split | None

    def config(self) -> dict[str, object]:
        """What config.json says besides the encoder."""
        said: dict[str, object] = {}
        if self.labels:
            said["id2label"] = {str(index): label for index, label in enumerate(self.labels)}
            said["label2id"] = {label: index for index, label in enumerate(self.labels)}
        if self.head is SEQUENCE:
            said["problem_type"] = "single_label_classification"
        return said


@dataclass(frozen=True)
class Options:
    """How a task is learnt. Defaults are of Devlin et al. 2018, A.3, and of their code."""

    epochs: int = option(3, "passes over the training data")
    rate: float = option(5e-5, "highest learning rate")
    batch_size: int = option(32, "examples (or parts of long ones) per step")
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
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{flag(name)} must be at least 1.")
        if not self.rate > 0:
            raise TrainingError("--rate must be above 0.")
        for name in ("warm_up", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise TrainingError(f"{flag(name)} must be at least 0 and below 1.")
        for name in ("overlap", "seed"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{flag(name)} must not be negative.")
