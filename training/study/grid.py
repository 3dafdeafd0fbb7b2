"""What a study compares in, its runs one by one out, and the file that keeps what each gave.

A study can be stopped at any time: the runs that are in its file are not done again.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from training.errors import TrainingError
from training.finetune.source import EXAMPLES
from training.finetune.task import Options

STUDY_FILE, RESULTS_FILE = "study.json", "results.jsonl"


@dataclass(frozen=True)
class TaskFile:
    """A task and the file of its examples."""

    kind: str
    path: Path

    @classmethod
    def of(cls, text: str) -> Self:
        """As the command line names it.

        >>> TaskFile.of("sequence:data/reviews.csv").name
        'reviews'
        """
        kind, colon, path = text.partition(":")
        if kind not in EXAMPLES or not colon or not path:
            raise TrainingError(
                f"--task takes KIND:FILE, where KIND is one of {', '.join(EXAMPLES)}; as in "
                "sequence:reviews.csv."
            )
        return cls(kind, Path(path))

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.path.stem


@dataclass(frozen=True)
class Cell:
    """One run."""

    checkpoint: str  # the folder's name
    task: str
    rate: float
    epochs: int
    batch_size: int
    seed: int

    @property
    def options(self) -> Options:
        """How it is learnt; a 0 stands for what fits, as in the plain command."""
        return Options(
            rate=self.rate, epochs=self.epochs, batch_size=self.batch_size, seed=self.seed
        )

    @property
    def plain(self) -> bool:
        """Whether it is what the command does without options."""
        return not (self.rate or self.epochs or self.batch_size)


@dataclass(frozen=True)
class Result:
    """What a run gave."""

    cell: Cell
    measure: str
    value: float | None  # None where its loss was not finite any more
    used: Mapping[str, float]  # rate, epochs and batch size, those that fitted among them
    seconds: float


@dataclass(frozen=True)
class Study:
    """What is compared."""

    checkpoints: tuple[Path, ...]
    tasks: tuple[TaskFile, ...]
    rates: tuple[float, ...]
    epochs: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    seeds: int

    def __post_init__(self) -> None:
        """Refuse names that would be taken for one another."""
        for names in ([path.name for path in self.checkpoints], [task.name for task in self.tasks]):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise TrainingError(f"Two of them are called {twice}; the table could not tell.")
        if self.seeds < 1:
            raise TrainingError("--seeds must be at least 1.")

    def cells(self) -> Iterator[tuple[Path, TaskFile, Cell]]:
        """The runs, the plain command's first; those of one seed before those of the next."""
        grid = [(0.0, 0, 0), *itertools.product(self.rates, self.epochs, self.batch_sizes)]
        for seed, options in itertools.product(range(self.seeds), grid):
            for checkpoint, task in itertools.product(self.checkpoints, self.tasks):
                yield checkpoint, task, Cell(checkpoint.name, task.name, *options, seed)


class Results:
    """The folder of a study."""

    def __init__(self, folder: Path, data: Mapping[str, Any]) -> None:
        """Go on with the study in `folder`, or begin one; `data` is what all its runs share.

        Raises:
            TrainingError: another study began there.
        """
        self._file = folder / RESULTS_FILE
        wanted = json.loads(json.dumps(dict(data)))
        if (folder / STUDY_FILE).is_file():
            found = json.loads((folder / STUDY_FILE).read_text(encoding="utf-8"))
            changed = sorted(key for key in wanted if found.get(key) != wanted[key])
            if changed:
                raise TrainingError(
                    f"{folder} holds a study with another {changed[0]} "
                    f"({found.get(changed[0])}); choose another folder."
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(wanted, indent=2) + "\n"
        (folder / STUDY_FILE).write_text(text, encoding="utf-8")

    def add(self, result: Result) -> None:
        """Keep what a run gave."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def read(self) -> list[Result]:
        """What there is, in the order in which it came."""
        if not self._file.is_file():
            return []
        lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
        # A line that was being written when the study was killed is the last, and has no end.
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            self._file.write_text("".join(lines[:-1]), encoding="utf-8")
        names = {entry.name for entry in fields(Result)} - {"cell"}
        return [
            Result(cell=Cell(**entry["cell"]), **{name: entry[name] for name in names})
            for entry in whole
        ]
