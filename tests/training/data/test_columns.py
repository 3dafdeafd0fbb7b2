"""Which column holds what: found by name, or as `--columns` says."""

from __future__ import annotations

import pytest

from training.data.columns import find_columns, parse_columns
from training.errors import TrainingError
from training.finetune.data import QuestionExample, SequenceExample, TokenExample

# The columns of known data sets -> the text, the second text and the label.
TEXTS = [
    ("idx,sentence,label", ("sentence", None, "label")),  # SST-2
    ("sentence1,sentence2,label,idx", ("sentence1", "sentence2", "label")),  # MRPC
    ("question,sentence,label,idx", ("question", "sentence", "label")),  # QNLI
    ("id,qid1,qid2,question1,question2,label", ("question1", "question2", "label")),  # QQP
    ("premise,hypothesis,label", ("premise", "hypothesis", "label")),  # MNLI
    ("question,passage,label", ("question", "passage", "label")),  # BoolQ
    ("Text,Label", ("Text", None, "Label")),
    ("text,text_pair,labels", ("text", "text_pair", "labels")),
    (" review ,stars", (" review ", None, "stars")),
    ("text,title,category", ("text", None, "category")),
]


@pytest.mark.parametrize(("header", "expected"), TEXTS)
def test_usual_names_are_found(header: str, expected: tuple[str, str | None, str]) -> None:
    found = find_columns(header.split(","), SequenceExample.ROLES, {}, "x.csv")
    assert tuple(found.get(role) for role in ("text", "text_pair", "label")) == expected


def test_names_of_other_tasks_are_found() -> None:
    found = find_columns(["id", "tokens", "pos_tags", "ner_tags"], TokenExample.ROLES, {}, "x")
    assert found == {"tokens": "tokens", "labels": "ner_tags"}
    columns = ["id", "title", "context", "question", "answers"]
    found = find_columns(columns, QuestionExample.ROLES, {}, "x")
    assert found == {"question": "question", "context": "context", "answers": "answers"}


def test_columns_that_are_named_come_first() -> None:
    given = parse_columns("text=body,label=spam", SequenceExample.ROLES)
    columns = ["text", "label", "body", "spam", "text_pair"]
    found = find_columns(columns, SequenceExample.ROLES, given, "x")
    assert found == {"text": "body", "label": "spam"}
    given = parse_columns("label=spam", SequenceExample.ROLES)
    found = find_columns(columns, SequenceExample.ROLES, given, "x")
    assert found == {"text": "text", "text_pair": "text_pair", "label": "spam"}


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (
            "id,words,label",
            "",
            r"x: no column is known to hold the text\. Its columns are id, words",
        ),
        (
            "id,text",
            "",
            r"x: no column is known to hold the label\. .* one of label, labels, class",
        ),
        ("text,label", "text=review", "x: there is no column review, which --columns names for t"),
        ("text,a,b", "label=a+c", "x: there is no column c, which --columns names for label"),
        ("a,b,label", "text=a+b", r"x: there is no column a\+b, which --columns names for text"),
        ("text,label", "txt=review", "--columns takes NAME=COLUMN with commas between, where NAME"),
        ("text,label", "review", "--columns takes NAME=COLUMN"),
    ],
)
def test_what_is_missing_is_named_with_what_was_found(
    columns: str, given: str, message: str
) -> None:
    roles = SequenceExample.ROLES
    with pytest.raises(TrainingError, match=rf"^{message}"):
        find_columns(columns.split(","), roles, parse_columns(given, roles), "x")


def test_a_text_where_a_header_should_be_is_not_shown() -> None:
    columns = ["The secret meal was superb and so was the service.", "good"]
    with pytest.raises(TrainingError, match=r"are \(a long text\), good.* text=1\)") as caught:
        find_columns(columns, SequenceExample.ROLES, {}, "x.csv, line 1")
    assert "secret" not in str(caught.value)
