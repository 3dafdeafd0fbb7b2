"""`python -m training finetune TASK CHECKPOINT OUT`: labelled examples in, a task's checkpoint out.

THE FLOW: files -> data -> its table -> task -> encoder with a fresh head -> fit -> checkpoint,
table of epochs and a report.json with what a repetition needs. The best epoch so far is in OUT as
soon as it is measured.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from training.checkpoint import save_checkpoint
from training.config import read_config
from training.device import add_device_flags, chosen_device, device_named, keep_freed_memory
from training.errors import TrainingError
from training.finetune.loop import Epoch, History, Keeping, Stopped, fit
from training.finetune.next_steps import next_steps
from training.finetune.overview import overview
from training.finetune.preparation import prepare
from training.finetune.report import REPORT_FILE, DataFile, Plan, Report, progress
from training.finetune.source import EXAMPLES, Data, DataOptions, read_data
from training.finetune.task import BertHead, Options, Task
from training.finetune.unfinished import RUN_FILE, Unfinished, beside
from training.finite import NotFinite
from training.interruption import INTERRUPTED, Interruption
from training.options import add_flags, given_flags
from training.space import check_space, weight_bytes

# Sizes of the weights that are on disk at once: OUT twice while it is written anew; and twice the
# state to go on from, with the weights, those of the kept epoch and two numbers of AdamW for each.
WEIGHTS_ON_DISK = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add = parser.add_argument
    add("task", choices=EXAMPLES, help="a label per text, a label per word, or an answer's span")
    add("checkpoint", type=Path, metavar="CHECKPOINT", help="folder of the BERT to start from")
    add("out", type=Path, metavar="OUT", help="the folder to create")
    add("--train", type=Path, required=True, metavar="FILE", help="examples to learn from")
    add("--dev", type=Path, metavar="FILE", help="examples to choose the best epoch by")
    add_flags(parser, DataOptions)
    add_flags(parser, Options)
    add_device_flags(parser)


def run(arguments: argparse.Namespace) -> None:
    """Fine-tune and print what comes of it; exits with code 3 when a signal stopped it before."""
    keep_freed_memory()
    try:
        finetune(
            arguments.task,
            arguments.checkpoint,
            arguments.out,
            train=arguments.train,
            dev=arguments.dev,
            data=DataOptions(**given_flags(arguments, DataOptions)),
            options=Options(**given_flags(arguments, Options)),
            device=chosen_device(arguments),
            say=partial(print, flush=True),
        )
    except Stopped as stopped:
        print(_stopped(arguments.out, stopped.history), file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def _stopped(out: Path, history: History | None) -> str:
    """What there is of a run that was stopped, and what to type next."""
    if history is None:
        return "Stopped in the first epoch; nothing was written. The same command begins anew."
    return (
        f"Stopped after epoch {len(history.epochs)}. {out} holds epoch {history.kept.number}, the "
        f"best so far, ready for `make export`. The same command goes on; to end it here, remove "
        f"{beside(out)}."
    )


def _silent(_: str) -> None:
    """Say nothing."""


def finetune(
    kind: str,
    checkpoint: Path,
    out: Path,
    *,
    train: Path,
    dev: Path | None = None,
    data: DataOptions | None = None,
    options: Options | None = None,
    device: torch.device | None = None,
    say: Callable[[str], object] = _silent,
) -> Report:
    """Fine-tune the encoder of `checkpoint` and write the folder `out`, with report.json in it.

    A run that was stopped goes on after its last whole epoch when it is called again alike.

    Args:
        kind: one of `EXAMPLES`.
        checkpoint: any BERT in Hugging Face's format; its own heads are passed over.
        out: must not exist, or be empty, unless such a run is to go on.
        train: a file or folder to learn from, in any form that `training.data` reads.
        dev: one by which the best epoch is chosen; without, the last epoch is kept.
        data: how they are read; the defaults when None.
        options: how it is learnt; the defaults when None.
        device: where it is learnt; a GPU where there is one when None.
        say: is told what people should know.

    Raises:
        TrainingError: an input cannot be used, and nothing was written; or a loss is not finite.
        Stopped: a signal came; `out` holds the best epoch so far.
    """
    options = options or Options()
    device = device or device_named("auto")
    _claim(out)
    read_config(checkpoint)  # a wrong folder is told before large files are read
    source = read_data(kind, train, dev, data or DataOptions(), seed=options.seed)
    ready = prepare(source, checkpoint, options, device)
    model, task, options = ready.model, ready.task, ready.options
    check_space(out, WEIGHTS_ON_DISK * weight_bytes(model))
    plan = Plan(
        task=kind,
        checkpoint=checkpoint.resolve().name,
        labels=task.labels,
        problem=task.problem,
        columns=source.train.columns,
        train=DataFile.of(train, source.train, task.train),
        dev=DataFile.of(dev or train, source.dev, task.dev) if source.dev and task.dev else None,
        options=options,
        dropout=ready.dropout,
        device=device.type,
        watched=task.watched,
    )  # fmt: skip
    unfinished = Unfinished(out, asdict(plan))
    state = unfinished.load()
    say("\n".join([overview(source, task, ready.max_tokens), ready.intention]))
    if state:
        say(f"going on after epoch {len(state['epochs'])} of {options.epochs}")
    report = _run(model, task, plan, out, checkpoint, unfinished, state, say)
    say("\n".join([report.table(), f"* {out}", _next(out, source, plan)]))
    return report


def _run(
    model: BertHead,
    task: Task,
    plan: Plan,
    out: Path,
    checkpoint: Path,
    unfinished: Unfinished,
    state: Mapping[str, Any] | None,
    say: Callable[[str], object],
) -> Report:
    """Fit the model, with its best epoch in `out` at any time, and what to go on from beside it."""
    started = time.monotonic()
    before = len(state["epochs"]) if state else 0

    def write(history: History) -> Report:
        report = Report(plan, history, time.monotonic() - started)
        save_checkpoint(
            out, model, checkpoint, architecture=task.head.architectures[0],
            files={REPORT_FILE: report.document()}, scratch=unfinished.path, **task.config(),
        )  # fmt: skip
        return report

    def went_on(epoch: Epoch, now: Mapping[str, Any]) -> None:
        unfinished.save(now)
        say(progress(epoch, plan.options.epochs, time.monotonic() - started, before))

    unfinished.begin()
    interruption = Interruption()
    try:
        keeping = Keeping(state, write, went_on, lambda: interruption.asked)
        history = fit(model, task, plan.options, keeping)
    except Stopped as stopped:
        if stopped.history is None:
            unfinished.remove()
        raise
    except NotFinite as error:
        there = (out / REPORT_FILE).is_file()
        kept = f" {out} holds the best epoch before that." if there else ""
        unfinished.remove()
        raise TrainingError(f"{error}{kept}") from None
    finally:
        interruption.end()
    report = write(history)  # again, for the report of all epochs
    unfinished.remove()
    return report


def _next(out: Path, source: Data, plan: Plan) -> str:
    """The commands that come next."""
    columns = source.train.columns
    answers = [getattr(example, "answers", True) for example in source.train.examples]
    return next_steps(
        out, plan.task, plan.labels, pairs="text_pair" in columns, may_abstain=not all(answers)
    )


def _claim(out: Path) -> None:
    """Find out before the training, not after it, that its result has no place."""
    begun = (beside(out) / RUN_FILE).is_file()
    if out.exists() and not begun and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} exists already; choose another folder or remove it.")
    there = next(parent for parent in out.absolute().parents if parent.exists())
    if not there.is_dir():
        raise TrainingError(f"{out.parent} cannot be made: {there} is not a folder.")
    if not os.access(there, os.W_OK):
        raise TrainingError(f"{there} cannot be written to.")
