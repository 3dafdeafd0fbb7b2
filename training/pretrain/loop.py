"""A model, its batches and a recipe in, a trained model and its metrics out: the flow of a run.

batch -> objective -> gradients -> clip -> AdamW step, with a report, a measurement on held-out
documents and a checkpoint now and then.
"""

import itertools
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from types import FrameType

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from training.device import Processes
from training.int8 import measure_factors, round_products
from training.masking import PairBatch
from training.model import BertForPreTraining
from training.objectives import Losses, Objective, PairTensors, SentenceTensors, hidden_rows
from training.optimiser import descend
from training.options import option
from training.pretrain.average import WeightAverage
from training.pretrain.batches_of_run import MicroBatch
from training.pretrain.recipe import Recipe
from training.pretrain.run_folder import RunFolder

_PARTS = tuple(field.name for field in fields(Losses))


@dataclass(frozen=True)
class Intervals:
    """How often things happen, in steps."""

    report_every: int = option(20, "steps between two lines of metrics")
    measure_every: int = option(500, "steps between two measurements on held-out documents")
    save_every: int = option(500, "steps between two checkpoints")


class Interruption:
    """Whether SIGTERM or SIGINT has come; the run then ends after a step, with a checkpoint."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@dataclass
class Run:
    """Everything a run is made of, and the step it has come to."""

    recipe: Recipe
    model: BertForPreTraining
    objective: Objective
    optimiser: torch.optim.Optimizer
    processes: Processes
    folder: RunFolder
    held_out: list[PairBatch]
    intervals: Intervals
    average: WeightAverage | None = None
    step: int = 0

    def train(self, batches: Iterator[MicroBatch], interruption: Interruption) -> bool:
        """Go on to the last step; whether it was reached, or an interruption came before."""
        steps = self.recipe.steps(self.processes.count)
        int8_from = self.recipe.int8_from(self.processes.count)
        wrapped = self._wrapped()
        started, since = time.monotonic(), self.step
        totals = torch.zeros(len(_PARTS), device=self.processes.device)
        shown = tqdm(total=steps, initial=self.step, unit="step", disable=not self.processes.leads)
        with shown:
            while self.step < steps:
                if self.step == int8_from:
                    self._round()
                rate = self.recipe.rate_at(self.step, self.processes.count)
                totals += self._step(wrapped, batches, rate)
                self.step += 1
                shown.update()
                if self.step % self.intervals.report_every == 0 or self.step == steps:
                    done = self.step - since
                    mean = self.processes.mean(totals / done)
                    self._report(mean, rate, done, time.monotonic() - started)
                    started, since = time.monotonic(), self.step
                    totals.zero_()
                self._measure_or_save(steps)
                if self._to_stop(interruption):
                    self._save()
                    return self.step == steps
        return True

    def _round(self) -> None:
        factors = measure_factors(self.model)
        round_products(self.model, factors)
        if self.average:
            round_products(self.average.module, factors)

    def _to_stop(self, interruption: Interruption) -> bool:
        """Whether to stop here. Several processes ask each other, which waits for their devices."""
        if self.processes.count > 1 and self.step % self.intervals.report_every:
            return False
        return self.processes.any(here=interruption.asked)

    def _wrapped(self) -> nn.Module:
        if self.processes.count == 1:
            return self.objective
        on_gpu = self.processes.device.type == "cuda"
        return DistributedDataParallel(
            self.objective, device_ids=[self.processes.device] if on_gpu else None
        )

    def _step(self, wrapped: nn.Module, batches: Iterator[MicroBatch], rate: float) -> Tensor:
        """One optimiser step; the mean of its losses, float32 (parts,)."""
        self.model.train()
        count = self.recipe.accumulate
        totals = torch.zeros(len(_PARTS), device=self.processes.device)
        for place, batch in enumerate(itertools.islice(batches, count), start=1):
            with self._no_sync(wrapped, last=place == count):
                losses = self._losses(wrapped, batch)
                (losses.total / count).backward()  # type: ignore[no-untyped-call]
            totals += torch.stack([getattr(losses, part).detach() for part in _PARTS])
        descend(self.optimiser, self.model, rate)
        if self.average:
            self.average.update_parameters(self.model)
        return totals / count

    def _no_sync(self, wrapped: nn.Module, *, last: bool) -> AbstractContextManager[object]:
        """Gradients travel between processes once per step, not once per micro-batch."""
        if isinstance(wrapped, DistributedDataParallel) and not last:
            return wrapped.no_sync()
        return nullcontext()

    def _losses(self, wrapped: nn.Module, batch: MicroBatch) -> Losses:
        device = self.processes.device
        pairs = PairTensors.of(batch.pairs, device)
        sentences = SentenceTensors.of(batch.sentences, device) if batch.sentences else None
        with self._autocast():
            losses = wrapped(pairs, sentences)
        assert isinstance(losses, Losses)  # noqa: S101
        return losses

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.processes.device.type,
            dtype=torch.bfloat16,
            enabled=self.recipe.precision == "bf16",
        )

    def _report(self, mean: Tensor, rate: float, steps: int, seconds: float) -> None:
        if not self.processes.leads:
            return
        per_step = self.recipe.batch_tokens * self.recipe.accumulate * self.processes.count
        losses = _report_of(dict(zip(_PARTS, mean.tolist(), strict=True)))
        self.folder.report(
            {
                "step": self.step,
                "tokens": self.step * per_step,
                **losses,
                "rate": rate,
                "tokens_per_second": round(steps * per_step / seconds),
            }
        )

    def _measure_or_save(self, steps: int) -> None:
        if not self.processes.leads:
            return
        if self.held_out and (self.step % self.intervals.measure_every == 0 or self.step == steps):
            self.folder.report({"step": self.step, **self.measure()})
        if self.step % self.intervals.save_every == 0 or self.step == steps:
            self._save()

    def _save(self) -> None:
        if self.processes.leads:
            self.folder.save(self.model, self.optimiser, self.average, self.step)

    @property
    def result(self) -> BertForPreTraining:
        """The model that the run is for: with the mean of the weights, or the latest."""
        return self.average.module if self.average else self.model

    @torch.no_grad()
    def measure(self) -> dict[str, float]:
        """Loss and accuracy at the masks of the held-out batches."""
        model = self.result.eval()
        loss = right = masks = 0.0
        for batch in self.held_out:
            pairs = PairTensors.of(batch, self.processes.device)
            with self._autocast():
                hidden, _ = hidden_rows(model.bert, pairs)
                logits = model.mlm_logits(hidden).float()
            loss += float(nn.functional.cross_entropy(logits, pairs.masked_ids, reduction="sum"))
            right += float((logits.argmax(-1) == pairs.masked_ids).sum())
            masks += len(pairs.masked_ids)
        return {
            "held_out_loss": round(loss / masks, 5),
            "held_out_accuracy": round(right / masks, 5),
        }


def _report_of(mean: dict[str, float]) -> dict[str, float]:
    """The means of the steps' losses; those of next sentences over the batches that have pairs."""
    with_pairs = mean.pop("has_pairs")
    if with_pairs:
        mean |= {part: mean[part] / with_pairs for part in ("next_sentence", "next_accuracy")}
    return {part: round(value, 5) for part, value in mean.items()}
