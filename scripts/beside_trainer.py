"""Data and a checkpoint in, what training/ and transformers' Trainer make of them out, as a table.

    python -m scripts.beside_trainer CHECKPOINT --task sequence:reviews.csv token:names.jsonl

Both begin with the same weights, learn the same rows in as many steps of as many rows at the same
rates, and write a checkpoint, in turn, each in a process of its own with as many threads. Both
checkpoints are measured as `training evaluate` does, on the same other rows. Timed is the way from
a file of examples to the checkpoint, in seconds of a processor, which depend less than those of a
clock on what else the machine does. To load the programs is not in them.

Needs what `make test` installs, and the package accelerate.
"""

import argparse
import json
import multiprocessing
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from scripts import trainer
from training.config import read_config
from training.data.read import Form
from training.device import keep_freed_memory
from training.evaluate.labelled.checkpoint import Checkpoint
from training.evaluate.labelled.material import read_material
from training.evaluate.labelled.outcome import judge
from training.evaluate.labelled.task_model import Running
from training.finetune.command import finetune
from training.finetune.defaults import fitted
from training.finetune.labelling import Problem
from training.finetune.source import Data
from training.finetune.task import Options
from training.study.command import sample
from training.study.grid import TaskFile

CPU = torch.device("cpu")
# What is told of a task: the first of these that it is measured by.
TOLD = ("entity_f1", "spearman", "micro_f1", "f1", "accuracy")


@dataclass(frozen=True)
class Side:
    """What one of the two made of a task."""

    measure: str
    points: float  # hundredths of it
    seconds: float  # of a processor


@dataclass(frozen=True)
class Examples:
    """The rows of a task, as files of JSON lines."""

    kind: str
    problem: Problem | None
    learnt: Path
    measured: Path

    @classmethod
    def of(cls, data: Data, folder: Path) -> "Examples":
        """Write what was sampled."""
        paths = folder / "learnt.jsonl", folder / "measured.jsonl"
        for path, part in zip(paths, (data.train, data.dev), strict=True):
            lines = [json.dumps(_row(example)) for example in part.examples] if part else []
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(data.kind, data.problem, *paths)

    def rows(self) -> list[dict[str, Any]]:
        """Those that are learnt."""
        return [json.loads(line) for line in self.learnt.read_text(encoding="utf-8").splitlines()]


def _row(example: Any) -> dict[str, Any]:
    """An example as both sides read it."""
    row = {key: value for key, value in vars(example).items() if key != "place"}
    if "words" in row:
        row["tokens"] = row.pop("words")
    if "answers" in row:
        answers = row["answers"]
        row["answers"] = [{"text": one.text, "answer_start": one.start} for one in answers]
    if row.get("text_pair", "") is None:
        del row["text_pair"]
    return row


def ours(examples: Examples, checkpoint: Path, out: Path, options: Options) -> None:
    """`training finetune`, as its command does it."""
    keep_freed_memory()
    finetune(examples.kind, checkpoint, out, train=examples.learnt, options=options, device=CPU)


def theirs(examples: Examples, checkpoint: Path, out: Path, options: Options) -> None:
    """Trainer."""
    trainer.learn(examples.kind, examples.problem, examples.rows(), checkpoint, out, options)


def learn(
    how: Callable[[Examples, Path, Path, Options], None],
    examples: Examples,
    checkpoint: Path,
    options: Options,
) -> Side:
    """Fine-tune one way, and measure what came of it."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        started = time.process_time()
        how(examples, checkpoint, out, options)
        seconds = time.process_time() - started
        with closing(Checkpoint(out, Running(), CPU)) as model:
            material = read_material(examples.measured, model.about, Form())
            outcome = judge(model, material, {})
    once = np.ones((1, len(material.examples)))
    found = {measure.key: float(measure.values(once)[0]) for measure in outcome.measures}
    told = next(key for key in TOLD if key in found)
    return Side(told, 100 * found[told], seconds)


def compare(
    task: TaskFile, checkpoint: Path, options: Options, *, rows: int, dev_rows: int
) -> tuple[Side, Side]:
    """Both, on a sample of the rows that the seed of `options` draws."""
    with TemporaryDirectory() as folder:
        examples = Examples.of(
            sample(task, options.seed, rows=rows, dev_rows=dev_rows), Path(folder)
        )
        return (
            apart(learn, ours, examples, checkpoint, options),
            apart(learn, theirs, examples, checkpoint, options),
        )


def apart(work: Callable[..., Side], *arguments: Any) -> Side:
    """Do it in a new process, with as many threads: what one sets must not help the other."""
    with ProcessPoolExecutor(
        1,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=load,
        initargs=(torch.get_num_threads(),),
    ) as process:
        return process.submit(work, *arguments).result()


def load(threads: int) -> None:
    """Set the threads, and load what is not timed: PyTorch's first optimiser takes seconds."""
    torch.set_num_threads(threads)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


def line(name: str, sides: Sequence[tuple[Side, Side]]) -> str:
    """A row of the table: the means over seeds.

    >>> line("reviews", [(Side("f1", 80.0, 6.0), Side("f1", 81.0, 12.0))])
    '| reviews | f1 | 80.0 | 81.0 | -1.0 | 6 s | 12 s | 0.50 |'
    """
    points = np.mean([[side.points for side in pair] for pair in sides], axis=0)
    seconds = np.mean([[side.seconds for side in pair] for pair in sides], axis=0)
    cells = (
        name,
        sides[0][0].measure,
        *(f"{value:.1f}" for value in points),
        f"{points[0] - points[1]:+.1f}",
        *(f"{value:.0f} s" for value in seconds),
        f"{seconds[0] / seconds[1]:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="what both start from")
    add("--task", nargs="+", required=True, metavar="KIND:FILE", help="as sequence:reviews.csv")
    add("--rows", type=int, default=600, metavar="N", help="to learn from (default: %(default)s)")
    add("--dev-rows", type=int, default=400, metavar="N", help="to measure by (default: "
        "%(default)s)")  # fmt: skip
    add("--epochs", type=int, default=0, metavar="N", help="default: what fits")
    add("--seeds", type=int, default=1, metavar="N", help="runs of each (default: %(default)s)")
    add("--threads", type=int, default=1, metavar="N", help="default: %(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    hidden = read_config(arguments.checkpoint).hidden_size
    options = fitted(Options(epochs=arguments.epochs), hidden=hidden, rows=arguments.rows)
    sizes = {"rows": arguments.rows, "dev_rows": arguments.dev_rows}
    print("| task | measure | here | Trainer | points | here | Trainer | time |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for task in map(TaskFile.of, arguments.task):
        sides = [
            compare(task, arguments.checkpoint, replace(options, seed=seed), **sizes)
            for seed in range(arguments.seeds)
        ]
        print(line(task.name, sides), flush=True)
    used = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate"))
    print(
        f"\n{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {arguments.threads} thread(s), "
        f"{used}; {arguments.rows} rows, {options.epochs} epochs of batches of "
        f"{options.batch_size}, rate {options.rate:.3g}, {arguments.seeds} seed(s)."
    )


if __name__ == "__main__":
    main()
