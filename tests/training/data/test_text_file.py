"""Encodings and byte-order marks, told apart from what a file says."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.text_file import read_text
from training.errors import TrainingError

TEXT = "text,label\nnaïve – “quoted”,1\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("encoding", "said"), [("cp1252", "CP1252"), ("utf-16-le", "utf-16-le"), ("utf-8-sig", "UTF_8")]
)
def test_encoding_may_be_named(tmp_path: Path, encoding: str, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path, said) == TEXT


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (
            TEXT.encode("cp1252"),
            None,
            r"a\.csv, line 2: it is not text in UTF-8 \(byte 0xEF\); save",
        ),
        ("é".encode("cp1252"), "ascii", r"a\.csv, line 1: it is not text in ASCII \(byte 0xE9\)"),
        (TEXT.encode("utf-8"), "utf-9", "--encoding: there is no encoding utf-9"),
        ("a\nb\n".encode("utf-16-be"), None, r"a\.csv, line 1: it holds zero bytes"),
        (b"text\n\x89PNG", None, r"a\.csv, line 2: it is not text in UTF-8 \(byte 0x89\)"),
    ],
)
def test_other_encodings_are_told_apart_from_the_form(
    tmp_path: Path, data: bytes, encoding: str | None, message: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(TrainingError, match=rf"^{message}"):
        read_text(path, encoding)


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"none\.csv cannot be read: No such file"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(TrainingError, match="cannot be read: Is a directory"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".XZ", lzma.compress)]
)
def test_packed_files_are_unpacked(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(pack(TEXT.encode()))
    assert read_text(path) == TEXT
    path.write_bytes(pack(TEXT.encode())[:-9])
    with pytest.raises(TrainingError, match=r"cannot be (unpacked|read): its data are damaged\.$"):
        read_text(path)
    path.write_bytes(TEXT.encode())
    with pytest.raises(TrainingError, match=r"cannot be (unpacked|read): its data are damaged\.$"):
        read_text(path)


def test_what_is_no_text_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "secret")
    with pytest.raises(TrainingError, match=r"is no text: it is a spreadsheet .* save it as CSV"):
        read_text(path)
    database = sqlite3.connect(tmp_path / "b.csv")
    database.execute("CREATE TABLE t (text)")
    database.close()
    with pytest.raises(TrainingError, match="is no text: it is a database of SQLite"):
        read_text(tmp_path / "b.csv")
    for pack, name in ((gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")):
        path.write_bytes(pack(TEXT.encode()))
        with pytest.raises(TrainingError, match=f"it is compressed by {name}; call it"):
            read_text(path)
