"""What labels are taken for, and what becomes of them."""

from __future__ import annotations

import pytest

from training.errors import TrainingError
from training.finetune.data import Label, SequenceExample, TokenExample
from training.finetune.labelling import Problem, problem_of, settle_sequences, settle_tokens


def labelled(*labels: Label) -> list[SequenceExample]:
    return [
        SequenceExample("x", None, label, f"a.csv, line {number}")
        for number, label in enumerate(labels, start=2)
    ]


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (("a", "b"), Problem.CLASSES),
        ((1, 0), Problem.CLASSES),
        ((1.0, 0.0), Problem.CLASSES),
        (("1.5", "2.5"), Problem.CLASSES),  # JSON's texts are names
        ((3.5, 4.0, 2), Problem.NUMBER),
        ((3.5, "4"), Problem.NUMBER),  # as cells are read
        ((("a",), ()), Problem.SEVERAL),
    ],
)
def test_labels_tell_what_they_are(labels: tuple[Label, ...], problem: Problem) -> None:
    assert problem_of(labelled(*labels)) is problem


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((("a",), "b"), r"line 3: its label is none, and a list in the rows before"),
        (("b", ("a",)), r"line 3: its label is one, and no list in the rows before"),
        ((2, "n/a", 2.5), r"line 3: its label is no number, and that of a\.csv, line 4 is one"),
    ],
)
def test_labels_of_two_kinds_are_refused(labels: tuple[Label, ...], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        problem_of(labelled(*labels))


def test_labels_that_differ_only_by_blanks_are_one() -> None:
    found = settle_sequences(labelled("very  good", " very good", "Bad", "bad"), Problem.CLASSES)
    assert [example.label for example in found.examples] == ["very good", "very good", "Bad", "bad"]
    assert found.notes == (
        'labels that differ only by blanks are one: "very good"',
        'labels differ only by case and stay apart: "Bad", "bad"',
    )


def test_labels_become_what_the_problem_says() -> None:
    found = settle_sequences(labelled(1.0, 0, 2.5), Problem.CLASSES)
    assert [example.label for example in found.examples] == ["1", "0", "2.5"]
    found = settle_sequences(labelled(1, "0", 2.5), Problem.NUMBER)
    assert [example.label for example in found.examples] == [1.0, 0.0, 2.5]
    found = settle_sequences(labelled(("b ", "a", "b"), (), "c"), Problem.SEVERAL)
    assert [example.label for example in found.examples] == [("a", "b"), (), ("c",)]
    assert len(found.notes) == 1
    with pytest.raises(TrainingError, match=r"^a\.csv, line 3: its label must be a number"):
        settle_sequences(labelled(1.5, "secret"), Problem.NUMBER)
    with pytest.raises(TrainingError, match=r"^a\.csv, line 3: its label is a list; --problem"):
        settle_sequences(labelled("a", ("b",)), Problem.CLASSES)


def sentences(*labels: str) -> list[TokenExample]:
    split = [tuple(part.split()) for part in labels]
    return [TokenExample(("w",) * len(part), part, "a.conll, line 1") for part in split]


def test_tags_become_iob2_and_it_is_said() -> None:
    found = settle_tokens(sentences("I-A I-A O", "S-B O"))
    assert [example.labels for example in found.examples] == [("B-A", "I-A", "O"), ("B-B", "O")]
    assert found.notes == ("the tags are IOBES and were read as IOB2",)
    assert settle_tokens(sentences("B-A I-A O")).notes == ()


def test_labels_that_are_no_tags_stay() -> None:
    found = settle_tokens(sentences("NOUN I-adj O", "S-x E-y"))
    assert [example.labels for example in found.examples] == [
        ("NOUN", "I-adj", "O"),
        ("S-x", "E-y"),
    ]
