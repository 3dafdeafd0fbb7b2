"""The form of a file, told by its content: the same examples from each of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from training.data.read import Form, read_rows
from training.errors import TrainingError
from training.finetune.data import SequenceExample, TokenExample

MOODS = [{"sentence": "so, glad", "label": "up"}, {"sentence": '[CLS] "sad"', "label": "down"}]


def moods(path: Path, form: Form | None = None) -> list[tuple[str, object]]:
    rows = read_rows(path, SequenceExample.ROLES, form)
    found = [SequenceExample.of(record) for record in rows.records]
    return [(example.text, example.label) for example in found]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "\n".join(map(json.dumps, MOODS))),
        ("a.json", "\n".join(map(json.dumps, MOODS))),
        ("a.json", json.dumps(MOODS)),
        ("a", json.dumps({"data": MOODS})),
        ("a.csv", 'sentence,label\n"so, glad",up\n"[CLS] ""sad""",down\n'),
        ("a.csv", 'sentence;label\nso, glad;up\n"[CLS] ""sad""";down\n'),
        ("a.tsv", 'sentence\tlabel\nso, glad\tup\n[CLS] "sad"\tdown\n'),
        ("a.txt", 'label\tsentence\nup\tso, glad\ndown\t[CLS] "sad"\n'),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_form_gives_the_same_examples(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    expected = [(row["sentence"], row["label"]) for row in MOODS]
    assert moods(tmp_path / name) == expected


def test_file_without_a_header_is_read_by_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('1,"so, glad"\n0,[CLS]\n')
    found = moods(tmp_path / "a.csv", Form("text=2,label=1"))
    assert found == [("so, glad", "1"), ("[CLS]", "0")]
    with pytest.raises(TrainingError, match=r"^a\.csv: no column is known to hold the text"):
        moods(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.conll", "[ O\nAda B-PER\n\n{ O\n"),
        ("a.txt", "[\tO\nAda\tB-PER\n\n{\tO\n"),
        ("a.tsv", "Word\tTag\n[\tO\nAda\tB-PER\n\n{\tO\n"),
        ("a.tsv", "tokens\tlabels\n[ Ada\tO B-PER\n{\tO\n"),
        ("a.csv", 'tokens,ner_tags\n"[""["", ""Ada""]","[\'O\', \'B-PER\']"\n{,O\n'),
        (
            "a.jsonl",
            '{"tokens": ["[", "Ada"], "tags": ["O", "B-PER"]}\n{"tokens":["{"],"tags":["O"]}',
        ),
    ],
)
def test_words_come_in_columns_or_lists(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    rows = read_rows(tmp_path / name, TokenExample.ROLES)
    found = [TokenExample.of(record) for record in rows.records]
    assert [example.words for example in found] == [("[", "Ada"), ("{",)]
    assert [example.labels for example in found] == [("O", "B-PER"), ("O",)]


def test_a_name_that_promises_json_is_taken_at_its_word(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("text,label\nsecret,1\n")
    with pytest.raises(TrainingError, match=r"^a\.jsonl, line 1: it is not JSON: a brace or brac"):
        moods(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.gz"])
def test_the_name_within_a_packed_name_counts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress("\n".join(map(json.dumps, MOODS)).encode()))
    assert moods(tmp_path / name) == [(row["sentence"], row["label"]) for row in MOODS]


def test_columns_that_nothing_asks_for_are_dropped(tmp_path: Path) -> None:
    rows = [{"id": 1, "Text": "a", "label": "x"}, {"text_pair": "b", "Text": "c", "html": "…"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = read_rows(tmp_path / "a.jsonl", SequenceExample.ROLES)
    assert [dict(record.fields) for record in found.records] == [
        {"Text": "a", "label": "x"},
        {"text_pair": "b", "Text": "c"},
    ]
    with pytest.raises(TrainingError, match=r"line 2: it has no field label.* text_pair, Text, ht"):
        SequenceExample.of(found.records[1])
    given = read_rows(tmp_path / "a.jsonl", SequenceExample.ROLES, Form("text=html,label=id"))
    assert dict(given.records[1].fields)["html"] == "…"


@pytest.mark.parametrize(("name", "text"), [("a.csv", "\n"), ("a.csv", "text,label\n"), ("a", "")])
def test_file_without_rows_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainingError, match="holds no examples"):
        moods(tmp_path / name)
