"""A file of labelled examples and a model's labels in, what the model is to be measured by out.

Right answers are then in the model's own words. Every example is of a document: examples of one
document tell of each other, so that intervals are over documents.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.data.columns import Role
from training.data.read import Form, read_rows
from training.data.record import Record, names_of
from training.data.tags import are_tags
from training.errors import TrainingError
from training.evaluate.labelled.task_model import About
from training.evaluate.labelled.weighted import Int64
from training.finetune.data import QuestionExample, SequenceExample, TokenExample
from training.finetune.labelling import Problem, settle_sequences, settle_tokens
from training.finetune.shares import group_of
from training.finetune.source import EXAMPLES

_DOCUMENTS = ("document_id", "doc_id", "docid", "article_id", "document")
_PURPOSE = "the document that a row is of"
# SQuAD's title is that of the article; elsewhere it is a text.
ROLES = {
    kind: Role(
        "document",
        _PURPOSE,
        (*_DOCUMENTS, *(["title"] if kind == "question" else [])),
        needed=False,
    )
    for kind in EXAMPLES
}


@dataclass(frozen=True, eq=False)
class Material:
    """Labelled examples of one file."""

    name: str
    examples: Sequence[Any]  # of one of `EXAMPLES`
    documents: Int64  # (N,): the number of each example's document, from 0
    resampled: str  # what documents are, for people
    columns: Mapping[str, str]  # role -> the file's name for it
    notes: tuple[str, ...] = ()

    @property
    def independent(self) -> bool:
        """Whether every example is a document of its own."""
        return int(self.documents.max()) + 1 == len(self.documents)


def read_material(path: Path, about: About, form: Form) -> Material:
    """Read a file for a model.

    Raises:
        TrainingError: a row cannot be used, or has a label that the model does not have.
    """
    example = EXAMPLES[about.kind]
    rows = read_rows(path, (*example.ROLES, ROLES[about.kind]), form)
    examples = [example.of(record) for record in rows.records]
    notes: tuple[str, ...] = ()
    if about.kind == "sequence":
        settled = settle_sequences(examples, about.problem or Problem.CLASSES)
        examples, notes = list(settled.examples), settled.notes
        if about.problem is not Problem.NUMBER:
            examples, more = _with_own_names(examples, about.labels, _of_text, _with_text)
            notes += more
    elif about.kind == "token":
        words = settle_tokens(examples)
        examples, notes = list(words.examples), words.notes
        if are_tags(set(about.labels)):
            _check_kinds(examples, about.labels)
        else:
            examples, more = _with_own_names(examples, about.labels, _of_words, _with_words)
            notes += more
    documents, resampled, said = _documents(rows.records, examples, rows.columns)
    return Material(
        path.resolve().name, examples, documents, resampled, rows.columns, (*notes, *said)
    )


def own_names(found: Collection[str], labels: Sequence[str]) -> tuple[dict[str, str], str | None]:
    """The model's label for each that a file has, and how they were told where spelled otherwise.

    A label without a name of the model's is left out.

    >>> own_names({"Good", "bad"}, ["bad", "good"])
    ({'bad': 'bad', 'Good': 'good'}, 'by their letters, capital or not')
    >>> own_names({"0"}, ["bad", "good"])
    ({'0': 'bad'}, 'by their numbers in the model')
    """
    names = sorted(found, key=lambda name: (name.casefold(), name))
    if set(names) <= set(labels):
        return {name: name for name in names}, None
    folded = {label.casefold(): label for label in labels}
    if len(folded) == len(labels) and all(name.casefold() in folded for name in names):
        told = {name: folded[name.casefold()] for name in names}
        if len(set(told.values())) == len(told):
            return told, "by their letters, capital or not"
    if all(name.isdecimal() and int(name) < len(labels) for name in names):
        return {name: labels[int(name)] for name in names}, "by their numbers in the model"
    return {name: name for name in names if name in labels}, None


def _with_own_names(
    examples: Sequence[Any],
    labels: Sequence[str],
    labels_of: Callable[[Any], tuple[str, ...]],
    with_labels: Callable[[Any, tuple[str, ...]], Any],
) -> tuple[list[Any], tuple[str, ...]]:
    """Examples with the model's labels, and what should be known of how they were told."""
    found = {label for example in examples for label in labels_of(example)}
    names, how = own_names(found, labels)
    renamed = []
    for example in examples:
        if any(label not in names for label in labels_of(example)):
            raise _unknown(example.place, labels)
        renamed.append(with_labels(example, tuple(names[label] for label in labels_of(example))))
    if how is None:
        return renamed, ()
    pairs = ", ".join(f"{name} is {label}" for name, label in list(names.items())[:12])
    return renamed, (f"labels were told {how}: {pairs}",)


def _of_text(example: SequenceExample) -> tuple[str, ...]:
    return example.label if isinstance(example.label, tuple) else (str(example.label),)


def _with_text(example: SequenceExample, labels: tuple[str, ...]) -> SequenceExample:
    several = isinstance(example.label, tuple)
    return replace(example, label=labels if several else labels[0])


def _of_words(example: TokenExample) -> tuple[str, ...]:
    return example.labels


def _with_words(example: TokenExample, labels: tuple[str, ...]) -> TokenExample:
    return replace(example, labels=labels)


def _check_kinds(examples: Sequence[TokenExample], labels: Sequence[str]) -> None:
    """Tags are compared by the entities that they make, so that their scheme does not matter."""
    kinds = {kind_of(label) for label in labels}
    for example in examples:
        if any(kind_of(label) not in kinds for label in example.labels):
            raise _unknown(example.place, sorted(kinds - {"O"}))


def kind_of(tag: str) -> str:
    """What a tag of an entity says besides where the entity begins.

    >>> kind_of("B-PER"), kind_of("O")
    ('PER', 'O')
    """
    return tag[2:] if tag[1:2] == "-" else tag


def _unknown(place: str, labels: Sequence[str]) -> TrainingError:
    return TrainingError(
        f"{place}: a label that the model does not have; it has {names_of(list(labels))}."
    )


def _documents(
    records: Sequence[Record], examples: Sequence[Any], columns: Mapping[str, str]
) -> tuple[Int64, str, tuple[str, ...]]:
    """The number of each example's document, what documents are, and what should be known."""
    if "document" in columns:
        found = [record.get("document") for record in records]
        keys = [f"row {n}" if key is None else f"={key}" for n, key in enumerate(found)]
        resampled = f"documents ({columns['document']})"
    else:
        keys = [group_of(example) for example in examples]
        questions = isinstance(examples[0], QuestionExample)
        resampled = "contexts" if questions else "rows"
    numbers: dict[str, int] = {}
    documents = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    if len(numbers) == 1 < len(examples):
        note = f"all rows are of one of the {resampled}: the intervals are over rows, too narrow"
        return np.arange(len(examples), dtype=np.int64), "rows", (note,)
    return documents, resampled, ()
