"""The state of a run in, files from which it goes on exactly out, and back.

RUN/run.json                  the recipe and the corpus
RUN/metrics.jsonl             one line per report
RUN/curves.svg                the same as a plot
RUN/checkpoints/step-…/       a Hugging Face checkpoint and training_state.pt
RUN/final/                    the checkpoint at the end
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure

from training.checkpoint import read_weights, save_checkpoint
from training.errors import TrainingError
from training.int8 import factors_of, round_products
from training.model import BertForPreTraining
from training.optimiser import WeightAverage
from training.pretrain.recipe import Recipe, make_recipe

STATE_FILE = "training_state.pt"
# Where the weights and the teacher came from: paths, which may differ on another machine.
_PATHS = ("init", "teacher")
# What says how a run ends, and so may change before its end begins.
_ENDING = {"tokens", "decay", "int8_part", "average"}

# Axes of the curves: a title, and the metrics drawn in it.
_PANELS = (
    ("loss at the masks", ("masked_words", "held_out_loss")),
    ("accuracy at the masks", ("masked_accuracy", "held_out_accuracy")),
    ("next sentence: accuracy", ("next_accuracy",)),
    ("distance to the teacher's vectors", ("distillation",)),
)
_COLOURS = ("#9db4d6", "#c44e52")  # what was trained on, what was held out


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path, tokenizer: Path, *, keep: int = 2) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.final = path / "final"
        self._tokenizer = tokenizer
        self._keep = keep

    def latest(self) -> Path | None:
        """The newest complete checkpoint, or None for a new run."""
        return max(self._checkpoints(), default=None)

    def claim(self, recipe: Recipe, corpus: str, step: int) -> None:
        """Write what this run is, or raise `TrainingError` when it is not the one that began here.

        `corpus` is the SHA-256 of the corpus's description. Only how a run ends
        may change, such as `tokens`, and only before the end begins: the fall of the learning rate,
        or rounding.
        """
        path = self.path / "run.json"
        if path.is_file() and step:  # before its first checkpoint there is nothing to go on with
            found = json.loads(path.read_text(encoding="utf-8"))
            self._check_same(recipe, corpus, found, step)
        self.path.mkdir(parents=True, exist_ok=True)
        for left in (*self.path.glob(".final.*"), *self.path.glob("checkpoints/.step-*")):
            shutil.rmtree(left)  # what a kill left of a checkpoint that was being written
        document = {"recipe": asdict(recipe), "corpus": corpus}
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

    def draw_curves(self) -> None:
        """Draw what the metrics hold, against tokens; nothing before the first report."""
        if not self.metrics.is_file():
            return
        text = self.metrics.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        per_step = next((line["tokens"] / line["step"] for line in lines if "tokens" in line), 1.0)
        panels = [panel for panel in _PANELS if any(_points(lines, name) for name in panel[1])]
        # Text as text and fixed ids: the file is small and the same for the same curves.
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "curves", "font.size": 9}):
            rows = (len(panels) + 1) // 2
            figure = Figure(figsize=(9, 2.6 * rows), layout="constrained")
            for place, (title, names) in enumerate(panels, start=1):
                axes = figure.add_subplot(rows, 2, place)
                for name, colour in zip(names, _COLOURS, strict=False):
                    points = _points(lines, name)
                    tokens = [step * per_step / 1e6 for step, _ in points]
                    values = [value for _, value in points]
                    axes.plot(tokens, values, color=colour, label=name.replace("_", " "))
                axes.set_title(title, loc="left")
                axes.set_xlabel("million tokens")
                axes.grid(alpha=0.3)
                axes.legend(frameon=False)
            figure.savefig(self.path / "curves.svg", format="svg", metadata={"Date": None})

    def _check_same(self, recipe: Recipe, corpus: str, found: dict[str, Any], step: int) -> None:
        if (processes := found.get("processes", 1)) != 1:  # what runs of before could have
            raise TrainingError(
                f"The run in {self.path} began in {processes} processes, and training has only one "
                "now; choose another folder."
            )
        if found["corpus"] != corpus:
            raise TrainingError(
                f"The run in {self.path} began with another corpus; "
                "resume it with the same, or choose another folder."
            )
        begun = make_recipe(found["recipe"])
        old, new = asdict(begun), asdict(recipe)
        changed = {name for name in old if old[name] != new[name] and name not in _PATHS}
        if others := sorted(changed - _ENDING):
            raise TrainingError(
                f"The run in {self.path} began with another `{others[0]}` ({old[others[0]]}); "
                "resume it with the same recipe, or choose another folder."
            )
        first = min(begun.ending_begins, recipe.ending_begins)
        if changed and step > first:
            raise TrainingError(
                f"`{min(changed)}` can change before the end of a run begins, "
                f"which it did at {first}."
            )

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


def _points(lines: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines if name in line]
