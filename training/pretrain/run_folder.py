"""The state of a run in, files from which it goes on exactly out, and back.

RUN/run.json                  the recipe, the corpus and the count of processes
RUN/metrics.jsonl             one line per report
RUN/curves.svg                the same as a plot
RUN/checkpoints/step-…/       a Hugging Face checkpoint and training_state.pt
RUN/final/                    the checkpoint at the end
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import read_weights, save_checkpoint
from training.errors import TrainingError
from training.int8 import factors_of, round_products
from training.model import BertForPreTraining
from training.pretrain.average import WeightAverage
from training.pretrain.recipe import Recipe, make_recipe

STATE_FILE = "training_state.pt"
# Where the weights and the teacher came from: paths, which may differ on another machine.
_PATHS = ("init", "teacher")
# What says how a run ends, and so may change before its end begins.
_ENDING = {"tokens", "decay", "int8_part", "average"}


@dataclass(frozen=True)
class RunIdentity:
    """What must be the same when a run is resumed."""

    recipe: Recipe
    corpus: str  # sha256 of the corpus's description
    processes: int


class RunFolder:
    """The files of one run; only the leading process writes."""

    def __init__(self, path: Path, tokenizer: Path, *, keep: int = 2) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.curves = path / "curves.svg"
        self.final = path / "final"
        self._tokenizer = tokenizer
        self._keep = keep

    def latest(self) -> Path | None:
        """The newest complete checkpoint, or None for a new run."""
        return max(self._checkpoints(), default=None)

    def claim(self, identity: RunIdentity, step: int) -> None:
        """Write what this run is, or raise `TrainingError` when it is not the one that began here.

        Only how it ends may change, such as `tokens`, and only before the end begins: the fall of
        the learning rate, or rounding.
        """
        path = self.path / "run.json"
        if path.is_file():
            _check_same(identity, json.loads(path.read_text(encoding="utf-8")), step, self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        document = {
            "recipe": asdict(identity.recipe),
            "corpus": identity.corpus,
            "processes": identity.processes,
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def save(
        self,
        model: BertForPreTraining,
        optimiser: torch.optim.Optimizer,
        average: WeightAverage | None,
        step: int,
    ) -> None:
        """Write a checkpoint after `step` steps, and remove the oldest ones."""
        folder = self.path / "checkpoints" / f"step-{step:08d}"
        save_checkpoint(folder, model, self._tokenizer, embeddings=True)
        state = {
            "step": step,
            "optimiser": optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "int8_factors": factors_of(model),
            "average": average.state_dict() if average else None,
        }
        # The state comes last and whole: a checkpoint without it was cut short and is passed over.
        torch.save(state, folder / f".{STATE_FILE}")
        (folder / f".{STATE_FILE}").rename(folder / STATE_FILE)
        for old in sorted(self._checkpoints())[: -self._keep]:
            shutil.rmtree(old)

    def save_final(self, model: BertForPreTraining) -> None:
        """Write the checkpoint that the run was for."""
        save_checkpoint(self.final, model, self._tokenizer, embeddings=True)

    def report(self, values: dict[str, Any]) -> None:
        """Append one line to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the metrics of steps that a resumed run will do again."""
        if not self.metrics.is_file():
            return
        lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
        # A line that was being written when the run was killed is no JSON, and is the last.
        whole = [line for line in lines if line.endswith("\n")]
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        self.metrics.write_text("".join(kept), encoding="utf-8")

    def _checkpoints(self) -> list[Path]:
        return [state.parent for state in self.path.glob(f"checkpoints/step-*/{STATE_FILE}")]


def restore(
    folder: Path,
    model: BertForPreTraining,
    optimiser: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> int:
    """Put a checkpoint back into what a run is made of; return the steps it had done."""
    model.load_state_dict(read_weights(folder)[0])
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    if factors := state.get("int8_factors"):  # runs of before have none
        for rounded in (model, average.module) if average else (model,):
            round_products(rounded, factors)
    if average and state.get("average"):  # which a run may begin to keep at any step
        average.load_state_dict(state["average"])
    if state["cuda_random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda_random"])
    return int(state["step"])


def _check_same(identity: RunIdentity, found: dict[str, Any], step: int, path: Path) -> None:
    if (found["corpus"], found["processes"]) != (identity.corpus, identity.processes):
        raise TrainingError(
            f"The run in {path} began with another corpus or count of processes; "
            "resume it with the same, or choose another folder."
        )
    begun = make_recipe(found["recipe"])
    old, new = asdict(begun), asdict(identity.recipe)
    changed = {name for name in old if old[name] != new[name] and name not in _PATHS}
    if others := sorted(changed - _ENDING):
        raise TrainingError(
            f"The run in {path} began with another `{others[0]}` ({old[others[0]]}); "
            "resume it with the same recipe, or choose another folder."
        )
    first = min(recipe.ending_begins(identity.processes) for recipe in (begun, identity.recipe))
    if changed and step > first:
        raise TrainingError(
            f"`{min(changed)}` can change before the end of a run begins, which it did at {first}."
        )
