"""A model with a fresh head and a task's inputs in, the same model with its best weights out.

shuffled batches -> loss -> gradients -> clip -> AdamW step; after each epoch, measures on `dev`.
Knows nothing of what a task means, nor of files.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.errors import TrainingError
from training.finetune.inputs import (
    Input,
    InputBatch,
    collate,
    prediction_batches,
    training_batches,
)
from training.finetune.task import BertHead, Float32, Loss, Measures, Options, Task
from training.optimiser import descend, make_adamw, rise_and_fall

BETA2 = 0.999  # of AdamW


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training data gave."""

    number: int  # from 1
    loss: float  # mean over its steps
    dev_loss: float | None = None  # mean over the inputs of dev, without dropout
    measures: Measures = field(default_factory=dict)  # on dev


@dataclass(frozen=True)
class History:
    """Every epoch, and the one whose weights were kept."""

    epochs: tuple[Epoch, ...]
    kept: Epoch


def fit(model: BertHead, task: Task, options: Options) -> History:
    """Train `model` where it is (its device) and leave it with the weights of the kept epoch.

    With dev data that is the epoch with the best watched measure (of equals, the one with the
    smallest loss), and training stops after `patience` epochs without a better one; otherwise it is
    the last.
    """
    training = Training(model, task, options)
    epochs: list[Epoch] = []
    kept: Epoch | None = None
    weights: dict[str, Tensor] = {}
    for number in range(1, options.epochs + 1):
        epochs.append(training.epoch(number))
        if kept is None or _rank(epochs[-1], task.watched) >= _rank(kept, task.watched):
            kept = epochs[-1]
            weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
        elif number - kept.number >= options.patience:
            break
    if kept is None:
        raise ValueError("expected at least one epoch, found none")
    model.load_state_dict(weights)
    return History(tuple(epochs), kept)


class Training:
    """A model, its optimiser and the step they have come to."""

    def __init__(self, model: BertHead, task: Task, options: Options) -> None:
        self._model, self._task, self._options = model, task, options
        self._device = model.device
        self._lengths = np.array([len(entry.ids) for entry in task.train.inputs])
        self._steps = options.epochs * math.ceil(len(self._lengths) / options.batch_size)
        self._optimiser = make_adamw(model, options.rate, beta2=BETA2)
        self._step = 0

    def epoch(self, number: int) -> Epoch:
        """Train on every input once, then measure."""
        rng = np.random.default_rng((self._options.seed, number))
        batches = training_batches(self._lengths, self._options.batch_size, rng)
        self._model.train()
        total = torch.zeros((), device=self._device)
        shown = tqdm(batches, desc=f"epoch {number}", unit="step", disable=None, leave=False)
        for numbers in shown:
            batch = collate([self._task.train.inputs[index] for index in numbers])
            total += self._descend(batch.to(self._device))
        loss = float(total) / len(batches)
        if not math.isfinite(loss):
            raise TrainingError("The loss is no number any more; try a smaller --rate.")
        dev = self._task.dev
        if dev is None:
            return Epoch(number, loss)
        found = predict(self._model, dev.inputs, self._task.loss, self._options.batch_size)
        return Epoch(number, loss, found.loss, dev.score(found.logits))

    def _descend(self, batch: InputBatch) -> Tensor:
        """One step; its loss, float ()."""
        share = rise_and_fall(self._step, self._steps, warm_up=self._options.warm_up)
        logits = self._model(batch)
        loss = self._task.loss(logits, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        descend(self._optimiser, self._model, self._options.rate * share)
        self._step += 1
        return loss.detach()


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of inputs, without dropout."""

    logits: list[Float32]  # (rows, K) of each input
    loss: float  # mean over inputs


def predict(model: BertHead, inputs: Sequence[Input], loss: Loss, batch_size: int) -> Predictions:
    """Run the model on inputs of any lengths; the answers come in their order."""
    model.eval()
    lengths = np.array([len(entry.ids) for entry in inputs])
    found: dict[int, Float32] = {}
    total = 0.0
    with torch.inference_mode():
        for numbers in prediction_batches(lengths, batch_size):
            batch = collate([inputs[index] for index in numbers]).to(model.device)
            logits = model(batch)
            total += len(numbers) * float(loss(logits, batch))
            parts = torch.split(logits.float().cpu(), batch.counts.tolist())
            found |= {int(i): part.numpy() for i, part in zip(numbers, parts, strict=True)}
    return Predictions([found[index] for index in range(len(inputs))], total / len(inputs))


def _rank(epoch: Epoch, watched: str) -> tuple[float, float]:
    """How good an epoch is; all are alike without dev data."""
    if epoch.dev_loss is None:
        return 0.0, 0.0
    return epoch.measures[watched], -epoch.dev_loss
