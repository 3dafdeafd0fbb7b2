"""A model, a corpus and a recipe in, a trained model and its metrics out: the flow of a run.

batch -> objective -> gradients -> clip -> AdamW step, with a report, a measurement on held-out
documents and a checkpoint now and then.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from tqdm import tqdm

from training.batches import PairBatches, SentenceBatches
from training.device import autocast
from training.errors import TrainingError
from training.finite import NotFinite, check_finite
from training.int8 import measure_factors, round_products
from training.interruption import Interruption
from training.masking import Padded, PairBatch
from training.model import BertForPreTraining
from training.objectives import Losses, Objective, PairTensors, SentenceTensors, hidden_rows
from training.optimiser import WeightAverage, descend
from training.options import option
from training.pretrain.recipe import Recipe
from training.pretrain.run_folder import RunFolder
from training.stored_corpus import Corpus

_PARTS = tuple(field.name for field in fields(Losses))


@dataclass(frozen=True)
class Intervals:
    """How often things happen, in steps."""

    report_every: int = option(20, "steps between two lines of metrics")
    measure_every: int = option(500, "steps between two measurements on held-out documents")
    save_every: int = option(500, "steps between two checkpoints")


@dataclass(frozen=True)
class MicroBatch:
    """What is computed before gradients are added up."""

    pairs: PairBatch
    sentences: Padded | None


class RunBatches:
    """The batches of a run, of usual length and, if the recipe says so, longer in some steps.

    Every batch is a pure function of its number, so that a resumed run sees what an uninterrupted
    one would.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        self._recipe = recipe
        self._usual = _pairs(corpus, recipe, recipe.sequence_tokens)
        self._longer = _pairs(corpus, recipe, recipe.long_tokens or recipe.sequence_tokens)
        self._sentences = (
            SentenceBatches(corpus, sentences=recipe.sentences, seed=recipe.seed)
            if recipe.distillation
            else None
        )

    def batch(self, number: int) -> MicroBatch:
        """Micro-batch `number`, counted over all steps."""
        per_step = self._recipe.accumulate
        step, place = divmod(number, per_step)
        longer = self._recipe.longer_before(step)
        if self._recipe.longer_before(step + 1) > longer:
            pairs = self._longer.batch(longer * per_step + place)
        else:
            pairs = self._usual.batch(number - longer * per_step)
        return MicroBatch(pairs, self._sentences.batch(number) if self._sentences else None)

    def from_step(self, step: int) -> Iterator[MicroBatch]:
        """The batches from a step on, without end, each made while another is used."""
        number = step * self._recipe.accumulate
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as maker:
            following = maker.submit(self.batch, number)
            while True:
                batch = following.result()
                number += 1
                following = maker.submit(self.batch, number)
                yield batch


def _pairs(corpus: Corpus, recipe: Recipe, sequence_tokens: int) -> PairBatches:
    return PairBatches(
        corpus,
        sequence_tokens=sequence_tokens,
        batch_tokens=recipe.batch_tokens,
        short=recipe.short,
        single=recipe.single,
        alone=recipe.alone,
        unmasked=recipe.unmasked,
        seed=recipe.seed,
    )


@dataclass
class Run:
    """Everything a run is made of, and the step it has come to."""

    recipe: Recipe
    model: BertForPreTraining
    objective: Objective
    optimiser: torch.optim.Optimizer
    device: torch.device
    folder: RunFolder
    batches: RunBatches
    held_out: list[PairBatch]
    intervals: Intervals
    average: WeightAverage | None = None
    step: int = 0

    def train(self, interruption: Interruption) -> bool:
        """Go on to the last step; whether it was reached, or an interruption came before."""
        steps = self.recipe.steps
        batches = self.batches.from_step(self.step)
        started, since = time.monotonic(), self.step
        totals: list[Tensor] = []  # of each step since the last report: float32 (parts,)
        unchecked: list[Tensor] = []  # since the last look: with the gradient's length behind
        with tqdm(total=steps, initial=self.step, unit="step", disable=None) as shown:
            while self.step < steps:
                if self.step == self.recipe.int8_from:
                    self._round()
                rate = self.recipe.rate_at(self.step)
                total, length = self._step(batches, rate)
                totals.append(total)
                unchecked.append(torch.cat([total, length[None]]))
                self.step += 1
                shown.update()
                if self._is_due(interruption):
                    self._check(unchecked)
                    unchecked.clear()
                if self.step % self.intervals.report_every == 0 or self.step == steps:
                    added = torch.stack(totals).sum(dim=0)
                    self._report(added, rate, self.step - since, time.monotonic() - started)
                    started, since = time.monotonic(), self.step
                    totals.clear()
                self._measure_or_save()
                if interruption.asked:
                    self._save()
                    return self.step == steps
        return True

    def _is_due(self, interruption: Interruption) -> bool:
        """Whether something is reported, measured or saved after this step."""
        every = self.intervals
        intervals = (every.report_every, every.measure_every, every.save_every)
        last = self.step == self.recipe.steps
        return last or interruption.asked or any(self.step % steps == 0 for steps in intervals)

    def _check(self, losses: Sequence[Tensor]) -> None:
        """Refuse to go on, and to save anything, with a loss that is not finite."""
        try:
            check_finite(
                losses, self.step, rate=self.recipe.rate, bf16=self.recipe.precision == "bf16"
            )
        except NotFinite as error:
            latest = self.folder.latest()
            kept = (
                f"{latest} is the last checkpoint before it; begin in another folder, from there "
                f"with --init {latest} or anew"
                if latest
                else "nothing was saved before it"
            )
            raise TrainingError(f"{error} {kept[0].upper()}{kept[1:]}.") from None

    def _round(self) -> None:
        factors = measure_factors(self.model)
        round_products(self.model, factors)
        if self.average:
            round_products(self.average.module, factors)

    def _step(self, batches: Iterator[MicroBatch], rate: float) -> tuple[Tensor, Tensor]:
        """One optimiser step; the mean of its losses, float32 (parts,), its gradient's length."""
        self.model.train()
        count = self.recipe.accumulate
        totals = torch.zeros(len(_PARTS), device=self.device)
        for _ in range(count):
            losses = self._losses(next(batches))
            (losses.total / count).backward()  # type: ignore[no-untyped-call]
            totals += torch.stack([getattr(losses, part).detach() for part in _PARTS])
        length = descend(self.optimiser, self.model, rate)
        if self.average:
            self.average.update_parameters(self.model)
        return totals / count, length

    def _losses(self, batch: MicroBatch) -> Losses:
        pairs = PairTensors.of(batch.pairs, self.device)
        sentences = SentenceTensors.of(batch.sentences, self.device) if batch.sentences else None
        with autocast(self.device, self.recipe.precision):
            return self.objective.losses(pairs, sentences)

    def _report(self, totals: Tensor, rate: float, steps: int, seconds: float) -> None:
        per_step = self.recipe.batch_tokens * self.recipe.accumulate
        means = (totals / steps).tolist()
        self.folder.report(
            {
                "step": self.step,
                "tokens": self.step * per_step,
                **_report_of(dict(zip(_PARTS, means, strict=True))),
                "rate": rate,
                "tokens_per_second": round(steps * per_step / seconds),
            }
        )

    def _measure_or_save(self) -> None:
        last = self.step == self.recipe.steps
        if self.held_out and (last or self.step % self.intervals.measure_every == 0):
            self.folder.report({"step": self.step, **self.measure()})
        if last or self.step % self.intervals.save_every == 0:
            self._save()

    def _save(self) -> None:
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
            pairs = PairTensors.of(batch, self.device)
            with autocast(self.device, self.recipe.precision):
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
