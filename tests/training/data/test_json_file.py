"""JSON as people have it: lines, arrays and articles, each row with the line it stands on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from training.data.json_file import json_records
from training.data.record import Record
from training.errors import TrainingError

ROWS = [{"a": 1, "b": "two\u2028lines"}, {"a": [2, {"c": "}"}], "b": "é"}, {"a": None, "b": ""}]


def read(text: str) -> list[Record]:
    return list(json_records(text, "x.json"))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS),
        "\r\n\r\n".join(json.dumps(row) for row in ROWS) + "\r\n",
        json.dumps(ROWS),
        json.dumps(ROWS, indent=3),
        "\n [" + " ,\n".join(json.dumps(row) for row in ROWS) + "\n]\n",
        json.dumps({"version": 2, "data": ROWS}),
        json.dumps({"data": ROWS}, indent=1),
    ],
)
def test_every_form_holds_the_same_rows(text: str) -> None:
    assert [record.fields for record in read(text)] == ROWS


def test_rows_are_named_by_their_lines() -> None:
    lines = "\n".join(["", json.dumps(ROWS[0]), "", json.dumps(ROWS[1])])
    assert [record.place for record in read(lines)] == ["x.json, line 2", "x.json, line 4"]
    places = [record.place for record in read(json.dumps(ROWS, indent=1))]
    assert places == ["x.json, line 2", "x.json, line 6", "x.json, line 15"]


def test_one_object_over_several_lines_is_one_row() -> None:
    assert [record.fields for record in read(json.dumps(ROWS[1], indent=2))] == [ROWS[1]]
    assert read("") == []
    assert read(" \n[ ]\n") == []


ARTICLES: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "Rivers",
            "paragraphs": [
                {
                    "context": "The Oder flows north.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Which?",
                            "answers": [{"text": "Oder", "answer_start": 4}],
                        },
                        {
                            "id": "2",
                            "question": "Why?",
                            "is_impossible": True,
                            "answers": [],
                            "plausible_answers": [{"text": "north", "answer_start": 15}],
                        },
                    ],
                },
                {"context": "Empty.", "qas": []},
            ],
        },
        {"paragraphs": [{"context": "B.", "qas": [{"question": "Who?", "answers": []}]}]},
    ],
}


@pytest.mark.parametrize("indent", [None, 2])
def test_articles_become_questions_with_their_context(indent: int | None) -> None:
    found = read(json.dumps(ARTICLES, indent=indent))
    assert [record.fields["question"] for record in found] == ["Which?", "Why?", "Who?"]
    assert [record.fields["context"][0] for record in found] == ["T", "T", "B"]
    assert [len(record.fields["answers"]) for record in found] == [1, 0, 0]
    assert [record.place for record in found][2] == "x.json, question 3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": secret}', r"line 2: it is not JSON \(expecting value, column 7\)"),
        ('{"a": 1}\n["secret"]', "line 2: it is not a JSON object"),
        ('[{"a": 1},\n\n{"a": secret}]', r"line 3: it is not JSON \(expecting value, column 7\)"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: it is not JSON: a comma or the array's end is expected"),
        ('[{"a": 1},\n{"a": 2}', "line 2: it is not JSON: a comma or the array's end is expected"),
        ('[{"a": 1},\n{"a": "sec', r"line 2: it is not JSON \(unterminated string starting"),
        ('[{"a": 1}]\n[{"a": 2}]', "line 1: there is more behind the array's end"),
        ('[{"a": 1},\n7]', "line 2: it is not a JSON object"),
        ("[" * 100_000, r"it is not JSON \(too deep\)"),
        ('{"a":\n {"b": 1}', r"line 2: it is not JSON \(it ends too early"),
        ('{"text": {"0": "s", "1": "t"}, "label": {"0": 1, "1": 2}}', "hold whole columns"),
        ('{"data": [{"paragraphs": [{"context": "s"}]}]}', "article 1: a paragraph must be an obj"),
        ('{"data": [{"paragraphs": [{"context": "s", "qas": [1]}]}]}', "article 1: qas must hold"),
    ],
)
def test_bad_json_is_named_by_its_line_and_not_shown(text: str, message: str) -> None:
    with pytest.raises(TrainingError, match=rf"^x\.json.*{message}") as caught:
        read(text)
    assert "sec" not in str(caught.value).replace("second", "")
