"""A model with a fresh head and a task's inputs in, the same model with its best weights out.

shuffled batches -> loss -> gradients, added up -> clip -> AdamW step; after each epoch, measures on
`dev`, in float32 whatever the training's precision.
Knows nothing of what a task means, nor of files.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from training.device import autocast
from training.finetune.defaults import fitted
from training.finetune.inputs import (
    Input,
    InputBatch,
    Int64,
    collate,
    prediction_batches,
    training_batches,
)
from training.finetune.task import BertHead, Float32, Loss, Measures, Options, Task
from training.finite import check_finite
from training.optimiser import descend, make_adamw, rise_and_fall

BETA2 = 0.999  # of AdamW
REPORT_EVERY = 20  # steps between two looks at the loss, for which a GPU must be waited for


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


class Stopped(Exception):
    """A signal came in the middle of an epoch, which is lost; `history` is of those before."""

    def __init__(self, history: History | None) -> None:
        super().__init__()
        self.history = history


@dataclass(frozen=True)
class Keeping:
    """What becomes of a run's epochs while it lasts; nothing, by default."""

    state: Mapping[str, Any] | None = None  # of the run that this one goes on with
    better: Callable[[History], object] = lambda _: None  # the model has the weights of the kept
    after: Callable[[Epoch, Mapping[str, Any]], object] = lambda _, __: None  # epoch, state
    asked_to_stop: Callable[[], bool] = lambda: False


def fit(model: BertHead, task: Task, options: Options, keeping: Keeping | None = None) -> History:
    """Train `model` where it is (its device) and leave it with the weights of the kept epoch.

    With dev data that is the epoch with the best watched measure (of equals, the one with the
    smallest loss), and training stops after `patience` epochs without a better one; otherwise it is
    the last.

    Raises:
        Stopped: `keeping` asked for it.
        TrainingError: a loss is not finite.
    """
    keeping = keeping or Keeping()
    training = Training(model, task, options, keeping.asked_to_stop)
    options = training.options
    epochs: list[Epoch] = []
    kept: Epoch | None = None
    weights: dict[str, Tensor] = {}
    if keeping.state:
        epochs, kept, weights = training.restore(keeping.state)
    for number in range(len(epochs) + 1, options.epochs + 1):
        if kept and number - 1 - kept.number >= options.patience:
            break
        epoch = training.epoch(number)
        if epoch is None:
            raise Stopped(History(tuple(epochs), kept) if kept else None)
        epochs.append(epoch)
        if kept is None or _rank(epoch, task.watched) >= _rank(kept, task.watched):
            kept = epoch
            weights = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
            keeping.better(History(tuple(epochs), kept))
        keeping.after(epoch, training.state(epochs, kept, weights))
    if kept is None:
        raise ValueError("expected at least one epoch, found none")
    model.load_state_dict(weights)
    return History(tuple(epochs), kept)


class Training:
    """A model, its optimiser and the step they have come to."""

    def __init__(
        self,
        model: BertHead,
        task: Task,
        options: Options,
        asked_to_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Options that are left open become those that fit."""
        self._model, self._task = model, task
        self._asked_to_stop = asked_to_stop
        self._device = model.device
        self._lengths = np.array([len(entry.ids) for entry in task.train.inputs])
        options = fitted(options, hidden=model.config.hidden_size, rows=len(self._lengths))
        self.options = options
        self._steps = options.epochs * math.ceil(len(self._lengths) / options.step_size)
        self._optimiser = make_adamw(model, options.rate, beta2=BETA2)
        self._step = 0

    def epoch(self, number: int) -> Epoch | None:
        """Train on every input once, then measure; None where it was asked to stop before."""
        rng = np.random.default_rng((self.options.seed, number))
        batches = training_batches(self._lengths, self.options.step_size, rng)
        self._model.train()
        total, unchecked = 0.0, list[Tensor]()  # float (2,) of each step: loss, gradient's length
        shown = tqdm(batches, desc=f"epoch {number}", unit="step", disable=None, leave=False)
        for place, numbers in enumerate(shown, start=1):
            unchecked.append(self._descend(numbers))
            if place % REPORT_EVERY == 0 or place == len(batches):
                self._check(unchecked)
                total += float(torch.stack(unchecked)[:, 0].sum())
                unchecked.clear()
                shown.set_postfix(loss=f"{total / place:.4f}", refresh=False)
            if self._asked_to_stop():
                return None
        loss, dev = total / len(batches), self._task.dev
        if dev is None:
            return Epoch(number, loss)
        found = predict(self._model, dev.inputs, self._task.loss, self.options.batch_size)
        self._check([torch.tensor([found.loss])])
        return Epoch(number, loss, found.loss, dev.score(found.logits))

    def state(
        self, epochs: Sequence[Epoch], kept: Epoch, weights: Mapping[str, Tensor]
    ) -> dict[str, Any]:
        """What a run needs to go on after the last of `epochs` as if it had not been stopped."""
        return {
            "epochs": [asdict(epoch) for epoch in epochs],
            "kept": kept.number,
            "weights": dict(weights),
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self._step,
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: Mapping[str, Any]) -> tuple[list[Epoch], Epoch, dict[str, Tensor]]:
        """Go back to a `state`; its epochs, the kept one and the weights of that."""
        self._model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._step = int(state["step"])
        torch.set_rng_state(state["random"])
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])
        epochs = [Epoch(**epoch) for epoch in state["epochs"]]
        return epochs, epochs[state["kept"] - 1], dict(state["weights"])

    def _descend(self, numbers: Int64) -> Tensor:
        """One step on the inputs int64 (step,); its loss and its gradient's length, float (2,)."""
        size = self.options.batch_size
        parts = [
            collate([self._task.train.inputs[index] for index in numbers[start : start + size]])
            for start in range(0, len(numbers), size)
        ]
        # Each part counts by what it has to learn, so that the step is that of one large batch.
        whole = sum(len(part.targets) for part in parts)
        loss = torch.zeros((), device=self._device)
        for part in parts:
            loss += self._backward(part.to(self._device), len(part.targets) / whole)
        share = rise_and_fall(self._step, self._steps, warm_up=self.options.warm_up)
        length = descend(self._optimiser, self._model, self.options.rate * share)
        self._step += 1
        return torch.stack([loss, length])

    def _backward(self, batch: InputBatch, share: float) -> Tensor:
        """Add the gradients of a part of a step; the part's loss, float ()."""
        with autocast(self._device, self.options.precision):
            logits = self._model(batch)
        loss = self._task.loss(logits, batch) * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _check(self, losses: Sequence[Tensor]) -> None:
        """Refuse to go on after a loss that is not finite."""
        bf16 = self.options.precision == "bf16"
        check_finite(losses, self._step, rate=self.options.rate, bf16=bf16)


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
