"""`python -m training finetune TASK CHECKPOINT OUT`: labelled examples in, a task's checkpoint out.

files -> task -> encoder with a fresh head -> fit -> checkpoint, table and a report.json with what a
repetition needs
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch

from training.checkpoint import load_encoder, save_checkpoint
from training.config import BertConfig, read_config
from training.device import add_device_flags, chosen_device, device_named, versions
from training.errors import TrainingError
from training.finetune.inputs import WordPieces
from training.finetune.loop import History, fit
from training.finetune.overview import overview
from training.finetune.source import EXAMPLES, DataOptions, Part, read_data
from training.finetune.task import BertHead, Options, Split
from training.options import add_flags, given_flags
from training.stored_corpus import sha256_of

MAX_TOKENS = {"sequence": 128, "token": 128, "question": 384}
REPORT_FILE = "report.json"
FEWEST_TOKENS = 8  # [CLS], [SEP] twice, and room for something between


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
        why = "the last, as there is no dev data"
        if self.dev:
            why = f"the best {self.watched} on {self.dev.name}"
        return "\n".join([*lines, f"* kept: {why}"])

    def write(self, folder: Path) -> None:
        """For programs: write report.json into `folder`."""
        document, kept = asdict(self), self.history.kept
        epochs = document.pop("history")["epochs"]
        document |= {
            "versions": versions(),
            "epochs": epochs,
            "kept_epoch": kept.number,
            "measures": kept.measures,
            "seconds": round(self.seconds, 1),
        }
        text = json.dumps(document, indent=2, ensure_ascii=False)
        (folder / REPORT_FILE).write_text(text + "\n", encoding="utf-8")


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
    """Fine-tune and print the table of epochs."""
    report = finetune(
        arguments.task,
        arguments.checkpoint,
        arguments.out,
        train=arguments.train,
        dev=arguments.dev,
        data=DataOptions(**given_flags(arguments, DataOptions)),
        options=Options(**given_flags(arguments, Options)),
        device=chosen_device(arguments),
        say=print,
    )
    print(report.table())


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

    Args:
        kind: one of `EXAMPLES`.
        checkpoint: any BERT in Hugging Face's format; its own heads are passed over.
        out: must not exist, or be empty.
        train: a file or folder to learn from, in any form that `training.data` reads.
        dev: one by which the best epoch is chosen; without, the last epoch is kept.
        data: how they are read; the defaults when None.
        options: how it is learnt; the defaults when None.
        device: where it is learnt; a GPU where there is one when None.
        say: is told what people should know before the training.

    Raises:
        TrainingError: an input cannot be used; nothing was written.
    """
    started = time.monotonic()
    options = options or Options()
    device = device or device_named("auto")
    _claim(out)
    config = read_config(checkpoint)
    longest = longest_input(kind, config, options.max_tokens)
    options = replace(options, max_tokens=longest)
    pieces = WordPieces(checkpoint, max_tokens=longest, vocab_size=config.vocab_size)
    source = read_data(kind, train, dev, data or DataOptions(), seed=options.seed)
    task = source.task(pieces, overlap=options.overlap)
    say(overview(source, task, longest))
    torch.manual_seed(options.seed)
    encoder = load_encoder(checkpoint, dropout=options.dropout)
    model = BertHead(encoder, task.head, len(task.labels)).to(device)
    history = fit(model, task, options)
    report = Report(
        task=kind,
        checkpoint=checkpoint.resolve().name,
        labels=task.labels,
        train=DataFile.of(train, source.train, task.train),
        dev=DataFile.of(dev or train, source.dev, task.dev) if source.dev and task.dev else None,
        options=options,
        device=device.type,
        watched=task.watched,
        history=history,
        seconds=time.monotonic() - started,
    )
    architecture = task.head.architectures[0]
    save_checkpoint(out, model, checkpoint, architecture=architecture, **task.config())
    report.write(out)
    return report


def longest_input(kind: str, config: BertConfig, asked: int | None) -> int:
    """Tokens of the longest input: what was asked for, else the task's usual number."""
    positions = config.max_position_embeddings
    if asked is None:
        return min(MAX_TOKENS[kind], positions)
    if not FEWEST_TOKENS <= asked <= positions:
        raise TrainingError(
            f"--max-tokens must be from {FEWEST_TOKENS} to the {positions} positions of this model."
        )
    return asked


def _claim(out: Path) -> None:
    """Find out before the training, not after it, that its result has no place."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} exists already; choose another folder or remove it.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{out.parent} cannot be made: {error.strerror}.") from None
    if not os.access(out.parent, os.W_OK):
        raise TrainingError(f"{out.parent} cannot be written to.")
