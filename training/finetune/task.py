"""What the training loop must know of a task: its inputs, its head, its loss and its measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.heads import SEQUENCE, Head
from training.finetune.inputs import InputBatch
from training.finetune.pieces import Input

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
