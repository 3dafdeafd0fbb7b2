"""A file of a checkpoint in, what it is called in messages out; and that it is what it is called.

Knows nothing of formats. What often stands in a file's place is told here once, for every reader:
nothing, a folder, a Git LFS pointer, or the web page that a download got instead.
"""

import re
import stat
from pathlib import Path

from export.errors import ExportError, told

MODULES = "modules.json"  # at the root of a sentence-transformers folder
# Before 2014 Git LFS was called Hawser. A pointer is three lines; the file itself is elsewhere.
_POINTER = re.compile(rb"version https://(git-lfs|hawser)\.github\.com/spec/")
_PAGE = re.compile(rb"\s*<(!doctype html|html)\b", re.IGNORECASE)
_START = 512  # bytes: enough to see either


def is_there(path: Path) -> bool:
    """Whether anything has this name: a file, but also a folder in its place or a broken link.

    Raises:
        ExportError: its folder may not be looked into.
    """
    with told(path, "looked for"):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def called(path: Path) -> str:
    """What messages call a file: its name, behind that of the module whose it is.

    A folder of sentence-transformers has several files called config.json.
    """
    in_module = is_there(path.parent.parent / MODULES) and not is_there(path.parent / MODULES)
    return f"{path.parent.name}/{path.name}" if in_module else path.name


def check_file(path: Path, *, may_be_empty: bool = False) -> None:
    """Refuse what is no file, and content that is not the file's own.

    Raises:
        ExportError: it is missing, may not be read, is no plain file, or stands for another one.
    """
    with told(path, "read"):
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "something else"
            raise ExportError(f"{path} must be a file, and is {kind}.")
        with path.open("rb") as file:
            start = file.read(_START)
    if _POINTER.match(start):
        raise ExportError(
            f"{called(path)} is a Git LFS pointer, not the file itself: "
            "run `git lfs pull` in the checkpoint's folder."
        )
    if _PAGE.match(start):
        raise ExportError(
            f"{called(path)} is a web page, as a download that failed leaves it: fetch it again."
        )
    if not start and not may_be_empty:
        raise ExportError(f"{called(path)} is empty.")
