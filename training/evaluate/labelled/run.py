"""The options of `evaluate --data` in, a model measured on a file out: printed, and written.

THE FLOW: model -> material -> outcome -> report; the same for a second one; their difference.
"""

import argparse
import importlib
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from models.manifest import MANIFEST_FILE
from training.errors import TrainingError
from training.evaluate.figures import Evaluation, machine, table
from training.evaluate.labelled.bootstrap import DRAWS
from training.evaluate.labelled.checkpoint import Checkpoint
from training.evaluate.labelled.comparison import compare
from training.evaluate.labelled.material import Material, read_material
from training.evaluate.labelled.outcome import Outcome, judge
from training.evaluate.labelled.picture import draw_confusion
from training.evaluate.labelled.report import Report, write_predictions
from training.evaluate.labelled.task_model import About, Running, TaskModel
from training.evaluate.labelled.thresholds import read_thresholds
from training.finetune.labelling import Problem
from training.finetune.source import FormOptions
from training.options import add_flags, given_flags
from training.stored_corpus import sha256_of

_OWN = ("against", "predictions", "picture", "thresholds")


@dataclass(frozen=True, eq=False)
class Judged:
    """A model and what it made of the file."""

    about: About
    material: Material
    outcome: Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that go with a file of labelled examples."""
    group = parser.add_argument_group("a fine-tuned model on labelled examples")
    add = group.add_argument
    add("--data", metavar="FILE", type=Path, help="labelled examples, as `finetune` reads them")
    add("--against", metavar="MODEL", type=Path, help="another model, compared on the same rows")
    add("--predictions", metavar="OUT", type=Path, help="write what is said of each row, as JSON")
    add("--picture", metavar="OUT", type=Path, help="draw the confusion matrix, as SVG")
    add(
        "--thresholds",
        metavar="FILE",
        type=Path,
        help="from which probability on each of several labels counts, as JSON; also the file that "
        "--json wrote of other examples; default: 0.5",
    )
    add_flags(group, FormOptions)
    add_flags(group, Running)


def given(args: argparse.Namespace) -> list[str]:
    """Which of these options were given, `--data` apart."""
    own = [name for name in _OWN if getattr(args, name) is not None]
    return [*own, *given_flags(args, FormOptions), *given_flags(args, Running)]


def run(args: argparse.Namespace, device: torch.device) -> None:
    """Measure, print the tables and write the files that were asked for.

    Raises:
        TrainingError: a model, the file or a row of it cannot be used.
    """
    started = time.monotonic()
    here = judged(args.model, args, device)
    if args.picture and here.outcome.confusion is None:
        raise TrainingError(
            f"--picture draws which label is taken for which, and {here.about.name} does not "
            "choose one label of several."
        )
    comparison = None
    if args.against:
        there = judged(args.against, args, device, beside=here.about)
        comparison = compare(
            here.outcome, there.outcome, here.material,
            name=f"{there.about.name} ({there.about.precision})",
            same_labels=there.about.labels == here.about.labels,
        )  # fmt: skip
    report = Report.of(here.outcome, here.material, comparison)
    title = f"{here.about.name} on {here.material.name}"
    evaluation = Evaluation(
        name=title,
        weights_sha256=here.about.weights_sha256,
        heads=(here.about.kind,),
        figures=report.figures,
        seconds=round(time.monotonic() - started, 1),
    )
    conditions = _conditions(here, args) | machine(device)
    head = f"### {title} ({here.about.precision}, {len(here.material.examples):,} rows)"
    said = "; ".join(f"{name} {value}" for name, value in conditions.items())
    notes = "\n".join(f"note: {note}" for note in here.material.notes)
    parts = [notes, head, "\n".join(table(report.figures)), report.sections(), said]
    sys.stdout.write("\n\n".join(part for part in parts if part) + "\n")
    if args.json:
        evaluation.write(args.json, conditions | report.document())
    if args.predictions:
        write_predictions(args.predictions, here.outcome, here.material)
    if args.picture and here.outcome.confusion:
        draw_confusion(here.outcome.confusion, title, args.picture)


def _conditions(here: Judged, args: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on, by name and not by place."""
    columns = here.material.columns
    return {
        "precision": here.about.precision,
        "columns": ", ".join(f"{role}={column}" for role, column in columns.items()),
        "data_sha256": sha256_of(args.data)[:16],
        "intervals": f"of {DRAWS} draws of {here.material.resampled}",
    }


def open_model(
    folder: Path, running: Running, device: torch.device, threads: int | None
) -> TaskModel:
    """A checkpoint, or a model folder as the server runs it."""
    if not (folder / MANIFEST_FILE).is_file():
        return Checkpoint(folder, running, device)
    # What serves takes a second to import, and only model folders need it.
    served = importlib.import_module("training.evaluate.labelled.served")
    model: TaskModel = served.Served(folder, running, threads=threads)
    return model


def judged(
    folder: Path, args: argparse.Namespace, device: torch.device, beside: About | None = None
) -> Judged:
    """Let one model answer the file; it must be of the task of the model `beside` it."""
    running = Running(**given_flags(args, Running))
    form = FormOptions(**given_flags(args, FormOptions)).form
    with closing(open_model(folder, running, device, args.threads)) as model:
        _check_task(model.about, beside)
        thresholds = {}
        if args.thresholds:
            if model.about.problem is not Problem.SEVERAL:
                raise TrainingError(
                    f"--thresholds are of labels of which any number may apply; {model.about.name} "
                    "has no such labels."
                )
            thresholds = read_thresholds(args.thresholds, model.about.labels)
        material = read_material(args.data, model.about, form)
        return Judged(model.about, material, judge(model, material, thresholds))


def _check_task(about: About, beside: About | None) -> None:
    if beside and (about.kind, about.problem) != (beside.kind, beside.problem):
        raise TrainingError(
            f"{about.name} answers another task than {beside.name}; models of one task can be "
            "compared."
        )
