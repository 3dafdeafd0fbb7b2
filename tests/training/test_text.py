"""Reading text files as documents, and cutting paragraphs into sentences."""

from __future__ import annotations

import gzip
import lzma
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.errors import TrainingError
from training.text import check_input, read_documents, split_sentences

TEXT = "\n\n One.\nTwo. \n\n\n Ünï.\r\n \t\nLast, without an end of line"
DOCUMENTS = [["One.", "Two."], ["Ünï."], ["Last, without an end of line"]]


def read(path: Path) -> list[list[str]]:
    return list(read_documents(path, lambda _: None))


def test_blank_lines_part_documents_and_lines_are_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, newline="")
    assert read(path) == DOCUMENTS


def test_compressed_files_read_as_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(TEXT.encode()))
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert read(tmp_path / "a.txt.xz") == DOCUMENTS
    assert read(tmp_path / "a.txt.gz") == DOCUMENTS


def test_progress_adds_up_to_the_size_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 500))
    steps: list[int] = []
    assert len(list(read_documents(path, steps.append))) > 500
    assert sum(steps) == path.stat().st_size


def test_a_damaged_compressed_file_is_an_error(tmp_path: Path) -> None:
    for name, data in (
        ("a.txt.xz", lzma.compress(TEXT.encode() * 50)),
        ("a.txt.gz", gzip.compress(TEXT.encode() * 50, mtime=0)),
    ):
        (tmp_path / name).write_bytes(data[:-12])
        with pytest.raises(TrainingError, match="damaged"):
            read(tmp_path / name)
        (tmp_path / name).write_bytes(b"not compressed")
        with pytest.raises(TrainingError, match="damaged"):
            read(tmp_path / name)


def test_what_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("naïve".encode("latin-1"))
    with pytest.raises(TrainingError, match="UTF-8"):
        read(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("text")
    with pytest.raises(TrainingError, match=r"not a \.txt"):
        check_input(tmp_path / "a.pdf")
    with pytest.raises(TrainingError, match="no file"):
        check_input(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "sentences",
    [
        ["He came.", "She left!", "Why?", "Nobody knows …", "It is so."],
        ["Dr. Smith met Mrs. Jones on Mt. Etna.", "They spoke."],
        ["J. R. R. Tolkien wrote it.", "We read it."],
        ["He lives in the U.S. Army base.", "It rains."],
        ["He lives in the U.S.", "The end is near."],
        ["It costs 3.50 in all.", "See www.example.com for more."],
        ["Fig. 3 shows it, as does p. 12 of vol. 2.", "On Jan. 5 it rained."],
        ["He said no.", "No. 5 is alive."],
        ["“He is,” I said.", "“Why?” he asked.", "“Because.”", "(It was so.)", "[And more.]"],
        ['"What now?" she cried.', "'Nothing.'"],
        ["“He is mad.”", "“He is not.”"],
        ["It ended at 5 p.m. on Monday.", "Then they slept."],
        ["This is between you and I.", "Mary laughed."],
        ["No stop at the end"],
        ["Wait ... what?", "Élan is all.", "Ça va."],
    ],
)
def test_sentences_joined_by_a_space_are_split_again(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences


def test_speeches_without_space_between_them_are_split() -> None:
    assert split_sentences("“Go.”“No.” He went.") == ["“Go.”", "“No.”", "He went."]


def test_chinese_full_stops_need_no_space() -> None:
    text = "我来了。你呢？好！」他说"  # noqa: RUF001
    assert split_sentences(text) == [text[:4], text[4:7], text[7:10], text[10:]]


def test_blank_text_has_no_sentences() -> None:
    assert split_sentences(" \t ") == []


@settings(deadline=None)  # milliseconds say nothing on a busy machine
@given(st.text(alphabet="aB. !?…”“(U.S)3。\u00a0", max_size=60))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in sentences)


@pytest.mark.parametrize("unit", [".", "a", " ", "“", "A.", "” ", ". “"])
def test_no_text_takes_long(unit: str) -> None:
    started = time.perf_counter()
    split_sentences("He said. " + unit * 100_000 + "x")
    assert time.perf_counter() - started < 10  # seconds; something quadratic takes minutes
