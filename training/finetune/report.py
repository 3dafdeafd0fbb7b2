"""A finished fine-tuning in, a table and a report.json with what a repetition needs out."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from training.device import versions
from training.finetune.loop import History
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
    def of(cls, path: Path, split: Split) -> Self:
        """Describe `path`, which was read as `split`."""
        return cls(path.name, sha256_of(path), split.examples, len(split.inputs))


@dataclass(frozen=True)
class Report:
    """What was done and what came of it."""

    task: str
    checkpoint: str
    labels: tuple[str, ...]
    train: DataFile
    dev: DataFile | None
    options: Options
    device: str
    watched: str
    history: History
    seconds: float

    def table(self) -> str:
        """For people: an epoch per line, the kept one marked."""
        names = list(self.history.kept.measures)
        head = ["epoch", "loss", *(["dev_loss", *names] if self.dev else [])]
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
        return "\n".join([*lines, self._kept()])

    def _kept(self) -> str:
        if self.dev is None:
            return "* kept: the last, as there is no dev data"
        return f"* kept: the best {self.watched} on {self.dev.name}"

    def document(self) -> dict[str, object]:
        """For programs."""
        document, kept = asdict(self), self.history.kept
        epochs = document.pop("history")["epochs"]
        return document | {
            "versions": versions(),
            "epochs": epochs,
            "kept_epoch": kept.number,
            "measures": kept.measures,
            "seconds": round(self.seconds, 1),
        }

    def write(self, folder: Path) -> None:
        """Write report.json into `folder`."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False)
        (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")
