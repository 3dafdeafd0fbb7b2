"""Files of examples in, the examples that a task learns and is measured by out, and what they are.

THE FLOW: file -> rows (`training.data`) -> examples -> labels as they are learnt.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.data.read import Form, read_rows
from training.errors import TrainingError
from training.finetune.data import Example, QuestionExample, SequenceExample, TokenExample
from training.finetune.inputs import WordPieces
from training.finetune.labelling import (
    PROBLEMS,
    Problem,
    Settled,
    problem_of,
    settle_sequences,
    settle_tokens,
)
from training.finetune.labels import prepare_sequences, prepare_tokens
from training.finetune.questions import prepare_questions
from training.finetune.shares import set_aside
from training.finetune.task import Options, Task
from training.options import option

EXAMPLES: Mapping[str, Any] = {
    "sequence": SequenceExample,
    "token": TokenExample,
    "question": QuestionExample,
}


@dataclass(frozen=True)
class FormOptions:
    """How a file of examples is read."""

    columns: str | None = option(
        None, "which columns hold what, as in text=review,label=stars; default: by name", kind=str
    )
    encoding: str | None = option(
        None, "of text files; default: UTF-8, or what a byte-order mark says", kind=str
    )

    @property
    def form(self) -> Form:
        """What the reader of files is told."""
        return Form(self.columns, self.encoding)


@dataclass(frozen=True)
class DataOptions(FormOptions):
    """How the files of examples are read and what is learnt of them."""

    problem: str | None = option(
        None, f"what a text's label is: {', '.join(PROBLEMS)}; default: as the labels are", kind=str
    )
    dev_share: float = option(
        0.0, "share of the training rows to measure by, where there is no --dev; 0 for none"
    )

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        if not 0 <= self.dev_share < 1:
            raise TrainingError("--dev-share must be at least 0 and below 1.")
        if self.problem is not None and self.problem not in PROBLEMS:
            raise TrainingError(f"--problem must be one of {', '.join(PROBLEMS)}.")


@dataclass(frozen=True)
class Part:
    """The examples of one file."""

    name: str  # of the file, as messages and tables call it
    examples: Sequence[Example]
    columns: Mapping[str, str] = field(default_factory=dict)  # role -> the file's name for it


@dataclass(frozen=True)
class Data:
    """What there is to learn from and to measure by, and what people should know of it."""

    kind: str
    train: Part
    dev: Part | None
    problem: Problem | None = None  # of texts with labels
    notes: tuple[str, ...] = ()

    def task(self, pieces: WordPieces, options: Options) -> Task:
        """The task, with its inputs for a model of these word pieces."""
        balanced = options.class_weights == "balanced"
        train: Any = self.train.examples
        dev: Any = self.dev.examples if self.dev else None
        if self.kind == "question":
            if balanced:
                raise TrainingError("--class-weights balanced weighs labels; answers have none.")
            return prepare_questions(train, dev, pieces, overlap=options.overlap)
        if self.problem is None:
            return prepare_tokens(train, dev, pieces, balanced=balanced)
        number = self.train.columns.get("label", "score")
        return prepare_sequences(
            train, dev, pieces, problem=self.problem, number=number, balanced=balanced
        )


def read_data(
    kind: str, train: Path, dev: Path | None, options: DataOptions, *, seed: int = 0
) -> Data:
    """Read the files of a task; what is learnt of labels is told by `train`.

    Without `dev`, `options` may set a share of `train` aside, by `seed`.

    Raises:
        TrainingError: a file cannot be used; the row is named and never shown.
    """
    if options.problem and kind != "sequence":
        raise TrainingError("--problem is what a text's label is: it belongs to `sequence`.")
    if dev and options.dev_share:
        raise TrainingError(
            "--dev-share sets rows aside where there is no --dev; give one of them."
        )
    parts = [_read(kind, path, options.form) for path in (train, dev) if path is not None]
    problem, settle = _settling(kind, parts[0].examples, options)
    notes: list[str] = []
    settled = []
    for part in parts:
        found = settle(part.examples)
        notes += [f"{part.name}: {note}" for note in found.notes]
        settled.append(Part(part.name, found.examples, part.columns))
    if options.dev_share:
        whole = settled.pop()
        kept, aside = set_aside(whole.examples, options.dev_share, seed)
        settled = [
            Part(whole.name, kept, whole.columns),
            Part(f"{options.dev_share:.3g} of {whole.name}", aside, whole.columns),
        ]
    measured = settled[1] if len(settled) > 1 else None
    return Data(kind, settled[0], measured, problem, tuple(notes))


def _read(kind: str, path: Path, form: Form) -> Part:
    rows = read_rows(path, EXAMPLES[kind].ROLES, form)
    examples = [EXAMPLES[kind].of(record) for record in rows.records]
    return Part(path.resolve().name, examples, rows.columns)


def _settling(
    kind: str, examples: Any, options: DataOptions
) -> tuple[Problem | None, Callable[[Any], Settled[Any]]]:
    """What is learnt of labels, and what makes them so."""
    if kind == "question":
        return None, Settled
    if kind == "token":
        return None, settle_tokens
    problem = PROBLEMS[options.problem] if options.problem else problem_of(examples)
    return problem, lambda part: settle_sequences(part, problem)
