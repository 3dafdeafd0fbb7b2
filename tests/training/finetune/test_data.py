"""Lines of every kind, good and bad: what is read, and what is refused without being shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.finetune.conftest import Write, read
from training.data.read import Form, read_rows
from training.errors import TrainingError
from training.finetune.data import (
    Answer,
    QuestionExample,
    SequenceExample,
    TokenExample,
)

SPAN = {"text": "Seine", "answer_start": 4}
QUESTION: dict[str, Any] = {"question": "Which?", "context": "The Seine.", "answers": [SPAN]}


def test_lines_become_examples_and_blank_ones_are_skipped(write: Write) -> None:
    pair = {"text": "a", "text_pair": "b", "label": "yes", "id": 3}
    path = write("a.jsonl", [{"text": "é", "text_pair": None, "label": 0}, "", pair])
    assert read(path, SequenceExample) == [
        SequenceExample("é", None, 0, "a.jsonl, line 1"),
        SequenceExample("a", "b", "yes", "a.jsonl, line 3"),
    ]
    path = write("b.jsonl", [{"tokens": ["a", "b"], "labels": ["O", 1]}])
    assert read(path, TokenExample) == [TokenExample(("a", "b"), ("O", "1"), "b.jsonl, line 1")]
    path = write("c.jsonl", [QUESTION, QUESTION | {"answers": []}])
    answered, open_ = read(path, QuestionExample)
    assert answered == QuestionExample(
        "Which?", "The Seine.", (Answer("Seine", 4),), "c.jsonl, line 1"
    )
    assert open_.answers == ()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (
            "{secret",
            r"it is not JSON \(expecting property name enclosed in double quotes, column 2",
        ),
        ("[" * 100_000, r"it is not JSON \(too deep\)"),
        ('["secret"]', "it is not a JSON object"),
        ({"label": "x"}, "it has no field text, which must be a text that is not blank; its field"),
        ({"text": None, "label": "x"}, "text must be a text that is not blank, and is empty"),
        ({"text": " ", "label": "x"}, "text must be a text that is not blank"),
        ({"text": ["secret"], "label": "x"}, "text must be a text that is not blank"),
        ({"text": "secret \ud800", "label": "x"}, "text must be a text that is not blank"),
        ({"text": "secret", "text_pair": 5, "label": "x"}, "text_pair must be a text that"),
        (
            {"text": "secret"},
            "it has no field label, which must be a text, a number, true or false",
        ),
        ({"text": "secret", "label": None}, "label must be a text, a number, true or false, or a"),
        ({"text": "secret", "label": {"secret": 1}}, "label must be a text, a number, true or"),
        ('{"text": "secret", "label": NaN}', "label must be a text, a number, true or false"),
        ({"text": "secret", "label": ["a", 0.5]}, "label must be a list of texts or whole numbers"),
    ],
)
def test_bad_line_is_named_and_not_shown(write: Write, line: Any, what: str) -> None:
    path = write("x.jsonl", [{"text": "fine", "label": "a"}, line])
    with pytest.raises(TrainingError, match=rf"^x\.jsonl, line 2: {what}") as caught:
        read(path, SequenceExample)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"tokens": "secret", "labels": ["O"]}, "tokens must be a list"),
        ({"tokens": ["secret"], "labels": 1}, "labels must be a list, and is a number"),
        ({"tokens": [], "labels": []}, "tokens must be texts that are not blank, at least one"),
        ({"tokens": ["secret", " "], "labels": ["O", "O"]}, "tokens must be texts that are not"),
        ({"tokens": ["secret"], "labels": [None]}, "labels must be texts or whole numbers"),
        ({"tokens": ["secret", "b"], "labels": ["O"]}, "it has 2 tokens and 1 labels"),
    ],
)
def test_bad_words_are_named_and_not_shown(write: Write, line: Any, what: str) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.jsonl, line 1: {what}") as caught:
        read(write("x.jsonl", [line]), TokenExample)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"question": ""}, "question must be a text that is not blank"),
        ({"context": None}, "context must be a text that is not blank"),
        ({"answers": SPAN}, "answers must hold as many answer_start as text, two lists"),
        ({"answers": 3}, "answers must be a list, and is a number"),
        ({"answers": [3]}, "answers must be objects with text and answer_start"),
        ({"answers": ["Oder"]}, "its answer does not stand in the context, letter by letter"),
        ({"answers": ["e"]}, "its answer stands in the context more than once; add answer_start"),
        ({"answers": [{"text": "Seine"}]}, "an answer needs a text that is not blank and"),
        ({"answers": [SPAN | {"text": ""}]}, "an answer needs a text that is not blank and"),
        ({"answers": [SPAN | {"answer_start": -6}]}, "an answer needs a text that is not blank"),
        ({"answers": [SPAN | {"answer_start": True}]}, "an answer needs a text that is not"),
        ({"answers": [SPAN | {"answer_start": 3}]}, "the context has another text at answer_s"),
    ],
)
def test_bad_question_is_named_and_not_shown(
    write: Write, change: dict[str, Any], what: str
) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.jsonl, line 1: {what}") as caught:
        read(write("x.jsonl", [QUESTION | change]), QuestionExample)
    assert "Seine" not in str(caught.value)


def test_file_without_examples_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(TrainingError, match=r"none\.jsonl cannot be read: No such file"):
        read(tmp_path / "none.jsonl", SequenceExample)
    with pytest.raises(TrainingError, match=r"empty\.jsonl holds no examples"):
        read(write("empty.jsonl", [""]), SequenceExample)


def test_labels_are_what_they_are_in_json(write: Write) -> None:
    labels = ["good", 3, 2.5, True, ["a", 7], []]
    path = write("a.jsonl", [{"text": "x", "label": label} for label in labels])
    found = [example.label for example in read(path, SequenceExample)]
    assert found == ["good", 3, 2.5, "true", ("a", "7"), ()]


def test_labels_of_a_cell_are_read_as_what_they_spell(write: Write) -> None:
    cells = {"good": "good", "007": "007", "2.5": 2.5, '"[""a"", 7]"': ("a", "7"), "nan": "nan"}
    path = write("a.csv", ["text,label", *(f"x,{cell}" for cell in cells)])
    assert [example.label for example in read(path, SequenceExample)] == list(cells.values())


@pytest.mark.parametrize(
    ("answers", "starts"),
    [
        ({"text": ["Seine", "The"], "answer_start": [4, 0]}, [4, 0]),
        ({"text": [], "answer_start": []}, []),
        (["Seine"], [4]),
        ("Seine", [4]),
    ],
)
def test_answers_come_in_several_forms(write: Write, answers: Any, starts: list[int]) -> None:
    (found,) = read(write("a.jsonl", [QUESTION | {"answers": answers}]), QuestionExample)
    assert [answer.start for answer in found.answers] == starts


def test_answers_of_a_table_stand_in_two_columns(write: Write) -> None:
    lines = ["question,context,answer_text,answer_start", "Which?,An e or two e,e,12", "Who?,Me,,"]
    one, other = read(write("a.csv", lines), QuestionExample)
    assert one.answers == (Answer("e", 12),)
    assert other.answers == ()


@pytest.mark.parametrize("cell", ["", " ", "\u00a0\t"])
def test_a_cell_of_blanks_is_empty(write: Write, cell: str) -> None:
    lines = ["text,text_pair,label", f"x,{cell},a", f"x,y,{cell}"]
    path = write("a.csv", lines[:2])
    assert read(path, SequenceExample) == [SequenceExample("x", None, "a", "a.csv, line 2")]
    with pytest.raises(TrainingError, match=r"^a\.csv, line 3: label must be .*, and is empty\.$"):
        read(write("a.csv", lines), SequenceExample)
    with pytest.raises(TrainingError, match=r"^b\.csv, line 2: text must be .*, and is empty\.$"):
        read(write("b.csv", ["text,label", f"{cell},a"]), SequenceExample)


def test_columns_of_yes_and_no_are_one_label_of_several(write: Write) -> None:
    lines = ["id,comment_text,toxic,rude", "1,a,1,0", "2,b,0,0", "3,c,True,yes"]
    path = write("a.csv", lines)
    rows = read_rows(path, SequenceExample.ROLES, Form("label=toxic+rude"))
    found = [SequenceExample.of(record).label for record in rows.records]
    assert found == [("toxic",), (), ("toxic", "rude")]
    rows = read_rows(path, SequenceExample.ROLES, Form("label=id+rude"))
    with pytest.raises(TrainingError, match=r"^a\.csv, line 3: id must be 0 or 1, true or false"):
        [SequenceExample.of(record) for record in rows.records]
