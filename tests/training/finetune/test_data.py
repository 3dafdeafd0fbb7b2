"""Lines of every kind, good and bad: what is read, and what is refused without being shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.finetune.conftest import Write
from training.errors import TrainingError
from training.finetune.data import (
    Answer,
    QuestionExample,
    SequenceExample,
    TokenExample,
)
from training.json_lines import read_lines

SPAN = {"text": "Seine", "answer_start": 4}
QUESTION: dict[str, Any] = {"question": "Which?", "context": "The Seine.", "answers": [SPAN]}


def test_lines_become_examples_and_blank_ones_are_skipped(write: Write) -> None:
    pair = {"text": "a", "text_pair": "b", "label": "yes", "id": 3}
    path = write("a.jsonl", [{"text": "é", "text_pair": None, "label": 0}, "", pair])
    assert read_lines(path, SequenceExample.of) == [
        SequenceExample("é", None, "0", "a.jsonl, line 1"),
        SequenceExample("a", "b", "yes", "a.jsonl, line 3"),
    ]
    path = write("b.jsonl", [{"tokens": ["a", "b"], "labels": ["O", 1]}])
    assert read_lines(path, TokenExample.of) == [
        TokenExample(("a", "b"), ("O", "1"), "b.jsonl, line 1")
    ]
    path = write("c.jsonl", [QUESTION, QUESTION | {"answers": []}])
    answered, open_ = read_lines(path, QuestionExample.of)
    assert answered == QuestionExample(
        "Which?", "The Seine.", (Answer("Seine", 4),), "c.jsonl, line 1"
    )
    assert open_.answers == ()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{secret", "it is not JSON in UTF-8"),
        ("[" * 100_000, "it is not JSON in UTF-8"),
        ('["secret"]', "it is not a JSON object"),
        ({"label": "x"}, "text must be a text that is not blank"),
        ({"text": " ", "label": "x"}, "text must be a text that is not blank"),
        ({"text": ["secret"], "label": "x"}, "text must be a text that is not blank"),
        ({"text": "secret \ud800", "label": "x"}, "text must be a text that is not blank"),
        ({"text": "secret", "text_pair": 5, "label": "x"}, "text_pair must be a text that"),
        ({"text": "secret"}, "label must be a text or a whole number"),
        ({"text": "secret", "label": True}, "label must be a text or a whole number"),
        ({"text": "secret", "label": 0.5}, "label must be a text or a whole number"),
    ],
)
def test_bad_line_is_named_and_not_shown(write: Write, line: Any, what: str) -> None:
    path = write("x.jsonl", [{"text": "fine", "label": "a"}, line])
    with pytest.raises(TrainingError, match=rf"^x\.jsonl, line 2: {what}") as caught:
        read_lines(path, SequenceExample.of)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ({"tokens": "secret", "labels": ["O"]}, "tokens must be a list"),
        ({"tokens": ["secret"]}, "labels must be a list"),
        ({"tokens": [], "labels": []}, "tokens must be texts that are not blank, at least one"),
        ({"tokens": ["secret", " "], "labels": ["O", "O"]}, "tokens must be texts that are not"),
        ({"tokens": ["secret"], "labels": [None]}, "labels must be texts or whole numbers"),
        ({"tokens": ["secret", "b"], "labels": ["O"]}, "it has 2 tokens and 1 labels"),
    ],
)
def test_bad_words_are_named_and_not_shown(write: Write, line: Any, what: str) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.jsonl, line 1: {what}") as caught:
        read_lines(write("x.jsonl", [line]), TokenExample.of)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"question": ""}, "question must be a text that is not blank"),
        ({"context": None}, "context must be a text that is not blank"),
        ({"answers": SPAN}, "answers must be a list"),
        ({"answers": ["Seine"]}, "answers must be objects with text and answer_start"),
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
        read_lines(write("x.jsonl", [QUESTION | change]), QuestionExample.of)
    assert "Seine" not in str(caught.value)


def test_file_without_examples_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(TrainingError, match=r"none\.jsonl cannot be read: No such file"):
        read_lines(tmp_path / "none.jsonl", SequenceExample.of)
    with pytest.raises(TrainingError, match=r"empty\.jsonl holds no examples"):
        read_lines(write("empty.jsonl", [""]), SequenceExample.of)
    (tmp_path / "latin.jsonl").write_bytes(b'{"text": "caf\xe9", "label": 1}')
    with pytest.raises(TrainingError, match=r"latin\.jsonl, line 1: it is not JSON in UTF-8"):
        read_lines(tmp_path / "latin.jsonl", SequenceExample.of)
