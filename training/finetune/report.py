"""What a fine-tuning did and what came of it in, a table for people and report.json out."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from training.device import versions
from training.finetune.loop import Epoch, History
from training.finetune.source import Part
from training.finetune.task import Options, Split
from training.stored_corpus import sha256_of

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class DataFile:
    """A file of examples: its name, never its text."""

    name: str
    sha256: str
    examples: int
    inputs: int  # more than the examples where some are long

    @classmethod
    def of(cls, path: Path, part: Part, split: Split) -> Self:
        """Describe `path`, which was read as `part` and made into `split`."""
        return cls(part.name, sha256_of(path), split.examples, len(split.inputs))


@dataclass(frozen=True)
class Plan:
    """What is to be done: what two runs have in common of which one goes on with the other."""

    task: str
    checkpoint: str
    labels: tuple[str, ...]
    problem: str | None
    columns: Mapping[str, str]  # of the training file: what is asked for -> its name for it
    train: DataFile
    dev: DataFile | None
    options: Options
    dropout: Mapping[str, float]  # as it was used, by its name in config.json
    device: str
    watched: str


@dataclass(frozen=True)
class Report:
    """What was done and what came of it."""

    plan: Plan
    history: History
    seconds: float

    @property
    def kept(self) -> str:
        """The kept epoch with its measures, and why it was kept."""
        kept, dev = self.history.kept, self.plan.dev
        if dev is None:
            return f"epoch {kept.number}, the last, as there is no dev data; nothing was measured"
        measures = ", ".join(f"{name} {value:.4f}" for name, value in kept.measures.items())
        return f"epoch {kept.number}, the best {self.plan.watched} on {dev.name}: {measures}"

    def table(self) -> str:
        """For people: an epoch per line, the kept one marked."""
        names = list(self.history.kept.measures)
        head = ["epoch", "loss", *(["dev_loss", *names] if self.plan.dev else [])]
        rows = [
            [
                f"{epoch.number}{'*' if epoch.number == self.history.kept.number else ' '}",
                f"{epoch.loss:.4f}",
                *([] if epoch.dev_loss is None else [f"{epoch.dev_loss:.4f}"]),
                *(f"{epoch.measures[name]:.4f}" for name in names),
            ]
            for epoch in self.history.epochs
        ]
        lines = ["  ".join(cell.rjust(max(len(head[i]), 6)) for i, cell in enumerate(row))
                 for row in [head, *rows]]  # fmt: skip
        return "\n".join([*lines, f"* kept: {self.kept}"])

    def document(self) -> str:
        """For programs: the text of report.json."""
        kept = self.history.kept
        document: dict[str, Any] = {
            **asdict(self.plan),
            "seconds": round(self.seconds, 1),
            "versions": versions(),
            "epochs": asdict(self.history)["epochs"],
            "kept_epoch": kept.number,
            "measures": kept.measures,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def progress(epoch: Epoch, epochs: int, seconds: float, before: int = 0) -> str:
    """A line for people after an epoch; `seconds` are of all epochs but those `before`, together.

    >>> progress(Epoch(2, 0.5, 0.4, {"accuracy": 0.9}), 3, 60.0)
    'epoch 2 of 3: loss 0.5000, dev_loss 0.4000, accuracy 0.9000; 30 s an epoch, 30 s left'
    """
    figures = {"loss": epoch.loss}
    if epoch.dev_loss is not None:
        figures |= {"dev_loss": epoch.dev_loss, **epoch.measures}
    said = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    each = seconds / (epoch.number - before)
    left = (epochs - epoch.number) * each
    return f"epoch {epoch.number} of {epochs}: {said}; {each:.0f} s an epoch, {left:.0f} s left"
