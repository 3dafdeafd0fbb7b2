"""What stands where a file should be: told by name, whoever reads it."""

import os
from pathlib import Path

import pytest

from export.errors import ExportError
from export.read.files import called, check_file, is_there

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (POINTER, "spm.model is a Git LFS pointer, not the file itself: run `git lfs pull`"),
        (POINTER.replace("git-lfs", "hawser"), "is a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html>Sign in", "is a web page, as a download that failed leaves it"),
        ("\n <HTML lang=en>", "is a web page"),
        ("", r"spm\.model is empty\."),
    ],
)
def test_content_that_is_not_the_files_own_is_named(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "spm.model"
    path.write_text(content)
    with pytest.raises(ExportError, match=sentence):
        check_file(path)


@pytest.mark.parametrize("content", ["<s>\n<pad>\n", "version 2\n", "<htmlx>", "\n"])
def test_content_that_begins_alike_is_the_files_own(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text(content)
    check_file(path)


def test_empty_file_may_be_allowed(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.touch()
    check_file(path, may_be_empty=True)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name, sentence in (
        ("", "must be a file, and is a folder"),
        ("pipe", "must be a file, and is something else"),
        ("link", "cannot be read: No such file"),
        ("none", "cannot be read: No such file"),
    ):
        with pytest.raises(ExportError, match=f"{tmp_path / name} {sentence}"):
            check_file(tmp_path / name)
    assert [is_there(tmp_path / name) for name in ("pipe", "link", "none")] == [True, True, False]
    assert not is_there(tmp_path / "pipe" / "below")


def test_file_of_a_module_is_called_by_both_names(tmp_path: Path) -> None:
    (tmp_path / "modules.json").touch()
    (tmp_path / "2_Dense").mkdir()
    assert called(tmp_path / "config.json") == "config.json"
    assert called(tmp_path / "2_Dense" / "config.json") == "2_Dense/config.json"
    (tmp_path / "2_Dense" / "modules.json").touch()
    assert called(tmp_path / "2_Dense" / "config.json") == "config.json"
