"""The table before the training: what it counts, and what it warns of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.finetune.conftest import Write
from tests.training.finetune.toy_tasks import PIECES
from training.errors import TrainingError
from training.finetune.inputs import WordPieces
from training.finetune.overview import overview
from training.finetune.source import DataOptions, read_data
from training.finetune.task import Options


def shown(
    tiny: Path, kind: str, train: Path, dev: Path | None = None, **options: object
) -> list[str]:
    data = read_data(kind, train, dev, DataOptions(**options))  # type: ignore[arg-type]
    pieces = WordPieces(tiny, max_tokens=9, vocab_size=len(PIECES))
    return overview(data, data.task(pieces, Options(overlap=2)), 9).splitlines()


def cells(lines: list[str], name: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(name)]
    return line[len(name) :].split()


def test_rows_lengths_and_labels_are_counted(tiny: Path, write: Write) -> None:
    long = "the a of we then much very long,good"
    train = write("train.csv", ["review,stars", *["sad ben,bad "] * 9, *[long] * 10])
    dev = write("dev.csv", ["review,stars", "glad ben,bad"])
    lines = shown(tiny, "sequence", train, dev)
    assert cells(lines, "rows") == ["19", "1"]
    assert cells(lines, "tokens: median") == ["10", "4"]
    assert cells(lines, "tokens: most") == ["10", "4"]
    assert cells(lines, "longer than 9") == ["10", "0"]
    assert cells(lines, "bad") == ["9", "1"]
    assert cells(lines, "good") == ["10", "0"]
    assert "columns: text=review, label=stars" in lines
    assert "note: 10 rows of train.csv are cut; --max-tokens says where" in lines
    assert "note: dev.csv has none of these, so they are not measured: good" in lines


def test_labels_that_are_one_are_told(tiny: Path, write: Write) -> None:
    train = write("train.csv", ["text,label", "a, x", "b,x", "c,y"])
    lines = shown(tiny, "sequence", train)
    assert 'note: train.csv: labels that differ only by blanks are one: "x"' in lines
    assert "note: with fewer than 8 rows a label is hardly learnt: x, y" in lines
    assert lines[-1].startswith("note: nothing is measured, as there is neither --dev nor --dev-sh")


def test_rows_of_dev_that_are_learnt_are_named(tiny: Path, write: Write) -> None:
    train = write("train.csv", ["text,label", "the old sad ben,x", "very much,y", "glad,x"])
    dev = write("dev.csv", ["text,label", "calm,x", '"The old, sad ben!",y', "much glad,y"])
    lines = shown(tiny, "sequence", train, dev)
    assert lines[-1] == (
        "note: 1 of 3 rows of dev.csv have 80% of their words in common with a row that is learnt, "
        "so what is measured flatters: dev.csv, line 3 and train.csv, line 2"
    )


def test_numbers_are_told_by_their_spread(tiny: Path, write: Write) -> None:
    lines = shown(tiny, "sequence", write("t.csv", ["text,score", "a,150", "b,250.5", "c,100"]))
    assert cells(lines, "label: mean") == ["167"]
    assert cells(lines, "label: to") == ["250.5"]
    assert any("scaled to about 1" in line for line in lines)


def test_a_column_that_cannot_be_the_label_is_doubted(tiny: Path, write: Write) -> None:
    train = write("t.csv", ["text,label", *(f"a,id{number}" for number in range(40))])
    lines = shown(tiny, "sequence", train)
    assert cells(lines, "10 other labels") == ["10"]
    assert any("40 labels for 40 rows: is label the column that was meant?" in one for one in lines)


def test_entities_and_answers_are_counted(tiny: Path, write: Write) -> None:
    conll = write("t.conll", ["anna I-PER", "ben I-PER", "rome I-LOC", "", "the O"])
    lines = shown(tiny, "token", conll)
    assert [cells(lines, name) for name in ("B-LOC", "B-PER", "O")] == [["1"], ["1"], ["1"]]
    assert "note: t.conll: the tags are IOB1 and were read as IOB2" in lines
    questions = write("q.csv", ["question,context,answer", "who?,the ben,ben", "where?,the a,"])
    lines = shown(tiny, "question", questions)
    assert cells(lines, "with an answer") == cells(lines, "without an answer") == ["1"]


def test_share_is_measured_by(tiny: Path, write: Write) -> None:
    texts = ["glad", "sad", "calm", "the", "a", "of", "we", "then", "much", "very"]
    train = write("t.csv", ["text,label", *(f"{text},{n % 2}" for n, text in enumerate(texts))])
    lines = shown(tiny, "sequence", train, dev_share=0.2)
    assert lines[0].split("  ")[-1].strip() == "0.2 of t.csv"
    assert cells(lines, "rows") == ["8", "2"]
    assert cells(lines, "0") == cells(lines, "1") == ["4", "1"]
    with pytest.raises(TrainingError, match="--dev-share sets rows aside where there is no --dev"):
        shown(tiny, "sequence", train, train, dev_share=0.2)
    with pytest.raises(TrainingError, match="--dev-share must be at least 0 and below 1"):
        shown(tiny, "sequence", train, dev_share=1.0)
