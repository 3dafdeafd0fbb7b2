"""Files and a model's labels: which label is which, what a document is, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.data.read import Form
from training.errors import TrainingError
from training.evaluate.labelled.material import Material, read_material
from training.evaluate.labelled.task_model import About
from training.finetune.labelling import Problem

TEXTS = About("m", "sequence", ("bad", "good"), Problem.CLASSES, "fp32", "0")
SEVERAL = About("m", "sequence", ("rude", "spam"), Problem.SEVERAL, "fp32", "0")
NUMBER = About("m", "sequence", ("stars",), Problem.NUMBER, "fp32", "0")
NAMES = About("m", "token", ("O", "I-PER", "B-LOC", "I-LOC"), None, "fp32", "0")
NOUNS = About("m", "token", ("NOUN", "VERB"), None, "fp32", "0")
QUESTIONS = About("m", "question", (), None, "fp32", "0")


def read(
    tmp_path: Path, text: str, about: About, name: str = "test.csv", columns: str | None = None
) -> Material:
    path = tmp_path / name
    path.write_text(text)
    return read_material(path, about, Form(columns))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("good", "bad"), ""),
        (("1", "0"), "by their numbers in the model: 0 is bad, 1 is good"),
        (("GOOD", "Bad"), "by their letters, capital or not: Bad is bad, GOOD is good"),
    ],
)
def test_labels_are_told_by_name_or_number(
    labels: tuple[str, str], said: str, tmp_path: Path
) -> None:
    text = f"text,label\nfine,{labels[0]}\nawful,{labels[1]}\n"
    found = read(tmp_path, text, TEXTS)
    assert [example.label for example in found.examples] == ["good", "bad"]
    assert said in "".join(found.notes)
    assert bool(found.notes) == bool(said)


@pytest.mark.parametrize(
    ("text", "about", "message"),
    [
        ("text,label\nfine,good\nso so,neutral\n", TEXTS,
         "test.csv, line 3: a label that the model does not have; it has bad, good."),
        ("text,label\nfine,1\nso so,2\n", TEXTS, "line 2: a label that the model does not have"),
        ("text,label\nfine,good\nso so,\n", TEXTS, "line 3: label must be .* and is empty"),
        ("review,stars\nfine,good\n", NUMBER, "no column is known to hold the text|must be a numb"),
        ("text,label\nfine,good\n", NUMBER, "line 2: its label must be a number"),
        ("words\nfine\n", TEXTS, "test.csv: no column is known .* words; expected is one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_with_its_line(
    text: str, about: About, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        read(tmp_path, text, about)


def test_several_labels_and_none_are_read(tmp_path: Path) -> None:
    rows = [{"text": "a", "labels": ["Spam", "Rude"]}, {"text": "b", "labels": []}]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), SEVERAL, "test.jsonl")
    assert [set(example.label) for example in found.examples] == [{"spam", "rude"}, set()]
    with pytest.raises(TrainingError, match=r"line 1: a label that the model does not have"):
        read(tmp_path, '{"text": "a", "labels": ["ham"]}\n', SEVERAL, "test.jsonl")


def test_numbers_may_be_whole_and_are_read_as_numbers(tmp_path: Path) -> None:
    found = read(tmp_path, "text,stars\nfine,4\nawful,1\n", NUMBER)
    assert [example.label for example in found.examples] == [4.0, 1.0]


def test_tags_are_compared_by_what_they_name_whatever_their_scheme(tmp_path: Path) -> None:
    # The model has no B-PER, as older ones that were trained on IOB1.
    found = read(tmp_path, "Ada S-PER\nlives O\n", NAMES, "test.conll")
    assert found.examples[0].labels == ("B-PER", "O")
    with pytest.raises(TrainingError, match=r"line 1: a label that .* it has LOC, PER."):
        read(tmp_path, "Ada B-ORG\nlives O\n", NAMES, "test.conll")
    with pytest.raises(TrainingError, match=r"line 1: a label that .* it has NOUN, VERB."):
        read(tmp_path, "Ada PROPN\nlives VERB\n", NOUNS, "test.conll")


def test_rows_are_documents_unless_they_say_the_same(tmp_path: Path) -> None:
    alone = read(tmp_path, "text,label\nfine,good\nawful,bad\n", TEXTS)
    assert alone.independent
    assert alone.resampled == "rows"
    twice = read(tmp_path, "text,label\nfine,good\nFine!,bad\nbad,bad\n", TEXTS)
    assert twice.documents.tolist() == [0, 0, 1]
    assert not twice.independent


@pytest.mark.parametrize("columns", [None, "document=talk"])
def test_a_column_says_of_which_document_a_row_is(columns: str | None, tmp_path: Path) -> None:
    name = "talk" if columns else "doc_id"
    text = f"text,label,{name}\na,good,x\nb,bad,y\nc,bad,x\nd,bad,\n"
    found = read(tmp_path, text, TEXTS, columns=columns)
    assert found.documents.tolist() == [0, 1, 0, 2]
    assert found.resampled == f"documents ({name})"


def test_documents_of_a_conll_file_are_parted_by_its_lines(tmp_path: Path) -> None:
    text = "-DOCSTART- O\n\nAda I-PER\n\nBen I-PER\n\n-DOCSTART- O\n\nRome B-LOC\n"
    found = read(tmp_path, text, NAMES, "test.conll")
    assert found.documents.tolist() == [0, 0, 1]
    numbered = "1 Ada PER x\n2 ran O x\n\n1 Ben PER y\n\n1 Rome LOC x\n"
    columns = "tokens=2,labels=3,document=4"
    about = About("m", "token", ("O", "PER", "LOC"), None, "fp32", "0")
    by_column = read(tmp_path, numbered, about, "test.conll", columns)
    assert by_column.documents.tolist() == [0, 1, 0]


def test_questions_of_one_context_or_article_are_of_one_document(tmp_path: Path) -> None:
    rows = [
        {"question": q, "context": c, "answers": []}
        for q, c in (("a?", "one"), ("b?", "two"), ("c?", "one"))
    ]
    found = read(tmp_path, "\n".join(map(json.dumps, rows)), QUESTIONS, "test.jsonl")
    assert found.documents.tolist() == [0, 1, 0]
    assert found.resampled == "contexts"
    questions = [{"question": "a?", "answers": [], "id": "1"}]
    paragraphs = [{"context": context, "qas": questions} for context in ("one", "two")]
    data = [{"title": "x", "paragraphs": paragraphs}, {"paragraphs": paragraphs[:1]}]
    squad = read(tmp_path, json.dumps({"data": data}), QUESTIONS, "test.json")
    assert squad.documents.tolist() == [0, 0, 1]
    assert squad.resampled == "documents (title)"


def test_rows_of_one_document_alone_are_taken_for_themselves_and_that_is_said(
    tmp_path: Path,
) -> None:
    found = read(tmp_path, "text,label,doc_id\na,good,x\nb,bad,x\n", TEXTS)
    assert found.documents.tolist() == [0, 1]
    assert found.notes == (
        "all rows are of one of the documents (doc_id): the intervals are over rows, too narrow",
    )
