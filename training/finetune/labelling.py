"""Examples with the labels of their file in, what is learnt of them out, and what was changed.

A label is one of several classes, any number of labels at once, or a number; which of the three is
told by the training file, or by `--problem`. Labels that differ only by blanks are one. Tags of
entities become IOB2.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, TypeVar

from training.data.tags import are_tags, scheme_of, to_iob2
from training.errors import TrainingError
from training.finetune.data import Label, SequenceExample, TokenExample

E = TypeVar("E", SequenceExample, TokenExample)


class Problem(Enum):
    """What is learnt of a label, as config.json names it."""

    CLASSES = "single_label_classification"
    SEVERAL = "multi_label_classification"
    NUMBER = "regression"


# As --problem spells them.
PROBLEMS = {
    "classes": Problem.CLASSES,
    "multi-label": Problem.SEVERAL,
    "regression": Problem.NUMBER,
}


@dataclass(frozen=True)
class Settled(Generic[E]):
    """Examples whose labels are what is learnt, and notes for people of what was changed."""

    examples: Sequence[E]
    notes: tuple[str, ...] = ()


def problem_of(examples: Sequence[SequenceExample]) -> Problem:
    """What the labels are: lists, numbers of which one at least is not whole, or classes."""
    labels = [example.label for example in examples]
    lists = [isinstance(label, tuple) for label in labels]
    if any(lists):
        if not all(lists):
            first, other = ("a list", "none") if lists[0] else ("no list", "one")
            place = examples[lists.index(not lists[0])].place
            raise TrainingError(f"{place}: its label is {other}, and {first} in the rows before.")
        return Problem.SEVERAL
    fractions = [isinstance(label, float) and not label.is_integer() for label in labels]
    if not any(fractions):
        return Problem.CLASSES
    for example in examples:
        if _as_number(example.label) is None:
            other = examples[fractions.index(True)].place
            raise TrainingError(
                f"{example.place}: its label is no number, and that of {other} is one; "
                "--problem classes takes all of them for names."
            )
    return Problem.NUMBER


def settle_sequences(
    examples: Sequence[SequenceExample], problem: Problem
) -> Settled[SequenceExample]:
    """Each label as a text, as texts or as a number, as `problem` says."""
    if problem is Problem.NUMBER:
        return Settled([replace(one, label=_number(one)) for one in examples])
    known = _Spellings()
    settled = []
    for example in examples:
        label = example.label
        if problem is Problem.SEVERAL:
            parts = label if isinstance(label, tuple) else (_class_name(label),)
            chosen: Label = tuple(sorted({known.plain(part) for part in parts}))
        elif isinstance(label, tuple):
            raise TrainingError(f"{example.place}: its label is a list; --problem multi-label.")
        else:
            chosen = known.plain(_class_name(label))
        settled.append(replace(example, label=chosen))
    return Settled(settled, known.notes())


def settle_tokens(examples: Sequence[TokenExample]) -> Settled[TokenExample]:
    """Each word's label as a text; tags of entities in IOB2."""
    known = _Spellings()
    plain = [
        replace(one, labels=tuple(known.plain(label) for label in one.labels)) for one in examples
    ]
    notes = known.notes()
    if not are_tags({label for example in plain for label in example.labels}):
        return Settled(plain, notes)
    scheme = scheme_of([example.labels for example in plain])
    if scheme == "IOB2":
        return Settled(plain, notes)
    tagged = [replace(example, labels=to_iob2(example.labels)) for example in plain]
    return Settled(tagged, (*notes, f"the tags are {scheme} and were read as IOB2"))


class _Spellings:
    """The spellings of each label."""

    def __init__(self) -> None:
        self._found: dict[str, set[str]] = defaultdict(set)

    def plain(self, label: str) -> str:
        """A label without needless blanks."""
        plain = " ".join(label.split())
        self._found[plain].add(label)
        return plain

    def notes(self) -> tuple[str, ...]:
        """What people should know of how the labels are spelled."""
        notes = [
            f'labels that differ only by blanks are one: "{plain}"'
            for plain, spellings in sorted(self._found.items())
            if len(spellings) > 1
        ]
        folded: dict[str, list[str]] = defaultdict(list)
        for plain in sorted(self._found):
            folded[plain.casefold()].append(plain)
        notes += [
            f"labels differ only by case and stay apart: {_quoted(group)}"
            for group in folded.values()
            if len(group) > 1
        ]
        return tuple(notes)


def _quoted(labels: Iterable[str]) -> str:
    return ", ".join(f'"{label}"' for label in labels)


def _as_number(label: Label) -> float | None:
    """A label as a number, where it is one."""
    if isinstance(label, tuple):
        return None
    try:
        value = float(label)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _number(example: SequenceExample) -> float:
    value = _as_number(example.label)
    if value is None:
        raise TrainingError(f"{example.place}: its label must be a number, as the others are.")
    return value


def _class_name(label: Label) -> str:
    """A class by name: numbers that are whole without their point.

    >>> _class_name(1.0), _class_name("1.0"), _class_name(2.5)
    ('1', '1.0', '2.5')
    """
    if isinstance(label, float) and math.isfinite(label) and label.is_integer():
        return str(int(label))
    return str(label)
