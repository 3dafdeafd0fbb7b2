"""Reading text files as documents."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from training.documents import check_input, read_documents
from training.errors import TrainingError

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
        ("a.txt.gz", gzip.compress(TEXT.encode() * 50)),
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
