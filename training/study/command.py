"""`python -m training study OUT`: checkpoints and data sets in, how each is best fine-tuned out.

THE FLOW: for every checkpoint, data set, rate, number of epochs, batch size and seed: a sample of
the rows -> fit, as `finetune` does, without writing a checkpoint -> its best measure -> a line of
OUT/results.jsonl -> the tables of OUT/table.md. Among them is the plain command, with the defaults
of `training.finetune.defaults`.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

import torch

from training.device import add_device_flags, chosen_device, versions
from training.errors import TrainingError
from training.finetune.loop import fit
from training.finetune.preparation import prepare
from training.finetune.shares import set_aside
from training.finetune.source import Data, DataOptions, Part, read_data
from training.finite import NotFinite
from training.study.grid import Cell, Result, Results, Study, TaskFile
from training.study.table import details, groups, summary

TABLE_FILE = "table.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="the study's folder; one that is there goes on")
    add("--checkpoint", type=Path, nargs="+", required=True, metavar="FOLDER", help="to start from")
    add("--task", nargs="+", required=True, metavar="KIND:FILE", help="as sequence:reviews.csv")
    add("--rates", type=float, nargs="+", default=[5e-5, 1e-4, 2e-4, 4e-4], metavar="X")
    add("--epochs", type=int, nargs="+", default=[3, 5, 10], metavar="N")
    add("--batch-sizes", type=int, nargs="+", default=[16, 32], metavar="N")
    add("--seeds", type=int, default=1, metavar="N", help="runs of each (default: %(default)s)")
    add("--rows", type=int, default=600, metavar="N", help="to learn from (default: %(default)s)")
    add("--dev-rows", type=int, default=1000, metavar="N", help="to measure by, at most (default: "
        "%(default)s)")  # fmt: skip
    add_device_flags(parser)


def run(arguments: argparse.Namespace) -> None:
    """Do the runs that are missing, and print the tables after the last."""
    study = Study(
        checkpoints=tuple(arguments.checkpoint),
        tasks=tuple(TaskFile.of(text) for text in arguments.task),
        rates=tuple(arguments.rates),
        epochs=tuple(arguments.epochs),
        batch_sizes=tuple(arguments.batch_sizes),
        seeds=arguments.seeds,
    )
    device = chosen_device(arguments)
    say = partial(print, flush=True)
    say(conduct(study, arguments.out, arguments.rows, arguments.dev_rows, device, say))


def conduct(
    study: Study,
    out: Path,
    rows: int,
    dev_rows: int,
    device: torch.device,
    say: Callable[[str], object],
) -> str:
    """Do the runs that `out` does not have yet; its tables, which are also written there.

    Args:
        study: what is compared.
        out: the folder of the results.
        rows: examples to learn from.
        dev_rows: examples to measure by, at most.
        device: where it is learnt.
        say: is told of each run.
    """
    results = Results(out, {"rows": rows, "dev_rows": dev_rows})
    done = {result.cell for result in results.read()}
    cells = list(study.cells())
    # Not all of them fit: rows of the same text stay on one side.
    sampled = lru_cache(len(study.tasks))(partial(sample, rows=rows, dev_rows=dev_rows))
    for number, (checkpoint, task, cell) in enumerate(cells, start=1):
        if cell in done:
            continue
        result = _measure(checkpoint, sampled(task, cell.seed), cell, device)
        results.add(result)
        value = "lost" if result.value is None else f"{result.value:.4f}"
        say(f"{number} of {len(cells)}: {asdict(cell)}: {result.measure} {value}, "
            f"{result.seconds:.0f} s")  # fmt: skip
    found = groups(results.read())
    said = [f"{name} {version}" for name, version in versions().items()]
    made = f"{datetime.now(UTC):%Y-%m-%d}, {device.type}, {', '.join(said)}; {rows} rows."
    text = "\n\n".join([summary(found), details(found), made])
    (out / TABLE_FILE).write_text(text + "\n", encoding="utf-8")
    return text


def sample(task: TaskFile, seed: int, *, rows: int, dev_rows: int) -> Data:
    """About `rows` examples of a file to learn from and at most `dev_rows` others to measure by.

    Raises:
        TrainingError: the file is too small.
    """
    data = read_data(task.kind, task.path, None, DataOptions())
    examples = list(data.train.examples)
    if len(examples) < rows * 5 // 4:
        raise TrainingError(
            f"{task.path} has {len(examples)} rows; to learn from {rows} and measure by others it "
            f"wants {rows * 5 // 4}, or a smaller --rows."
        )
    others = len(examples) - rows
    left, dev = set_aside(examples, min(dev_rows, others) / len(examples), seed)
    train = left if len(left) <= rows else set_aside(left, rows / len(left), seed)[1]
    name = data.train.name
    return replace(
        data,
        train=Part(name, train, data.train.columns),
        dev=Part(f"the rest of {name}", dev, data.train.columns),
    )


def _measure(checkpoint: Path, data: Data, cell: Cell, device: torch.device) -> Result:
    """One run."""
    started = time.monotonic()
    ready = prepare(data, checkpoint, cell.options, device)
    watched = ready.task.watched
    value: float | None
    try:
        value = fit(ready.model, ready.task, ready.options).kept.measures[watched]
    except NotFinite:
        value = None
    used = {name: getattr(ready.options, name) for name in ("rate", "epochs", "batch_size")}
    return Result(cell, watched, value, used, round(time.monotonic() - started, 1))
