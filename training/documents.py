"""Text files in, their documents out, one at a time; knows nothing of sentences or tokens.

A document is the lines between two blank lines; each line is a paragraph.
"""

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from training.errors import TrainingError

Document = list[str]  # its paragraphs, none of them blank


def check_input(path: Path) -> None:
    """Refuse what `read_documents` could not read.

    Raises:
        TrainingError: it is no file, or its name does not tell that it is text.
    """
    if not path.is_file():
        raise TrainingError(f"There is no file {path}.")
    if not path.name.endswith((".txt", ".txt.xz", ".txt.gz")):
        raise TrainingError(f"{path} is not a .txt, .txt.xz or .txt.gz file.")


def read_documents(path: Path, advanced: Callable[[int], object]) -> Iterator[Document]:
    """The documents of a text file in UTF-8, in order.

    Args:
        path: a .txt, .txt.xz or .txt.gz file.
        advanced: is told how many bytes of the file, as it lies on disk, have been read since.

    Raises:
        TrainingError: the file is not UTF-8, or its compressed data are damaged.
    """
    document: Document = []
    position = 0
    with path.open("rb") as raw:
        try:
            for line in _decompressed(raw, path.suffix):
                if paragraph := line.decode().strip():
                    document.append(paragraph)
                elif document:
                    yield document
                    document = []
                    advanced(raw.tell() - position)
                    position = raw.tell()
        except UnicodeDecodeError:
            raise TrainingError(f"{path} is not text in UTF-8.") from None
        except (OSError, EOFError, lzma.LZMAError, zlib.error):
            raise TrainingError(f"{path} cannot be read: its data are damaged.") from None
        advanced(raw.tell() - position)
    if document:
        yield document


def _decompressed(raw: BinaryIO, suffix: str) -> Iterable[bytes]:
    """The lines of a file that may be compressed."""
    if suffix == ".xz":
        return lzma.LZMAFile(raw)
    if suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    return raw
