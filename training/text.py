"""Text files in, their documents and the sentences of these out; knows nothing of tokens.

A document is the lines between two blank lines; each line is a paragraph. In a paragraph every
place where a full stop, a question or an exclamation mark is followed by white space and what may
open a sentence is a candidate; `_ends` then sorts out the stops that belong to an abbreviation or
an initial. The rules are those of English; text in other alphabets is cut where they happen to
hold, and at the full stops of Chinese and Japanese.
"""

import gzip
import lzma
import re
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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never at the end of a sentence: what they shorten needs something after it.
_TITLES = _words(
    """
    adm capt cmdr col dr e.g fr gen gov hon i.e lieut lt maj messrs mlle mme mr mrs ms mt prof rep
    rev sen sgt st supt viz vs
    """
)
# Not at the end of a sentence where a number follows: Fig. 3, Jan. 5, pp. 10-12.
_BEFORE_NUMBERS = _words(
    """
    apr art aug ca cf ch chap dec eq fig figs feb jan jul jun mar no nos nov oct p pp ref sec sect
    sep sept tab vol
    """
)
# After an initial or an acronym only these open a new sentence: "the U.S. The", not "U.S. Army".
_OPENERS = _words(
    """
    A After All Also Although An And As At Because But By Even For From He Her Here His How
    However I If In It Its Many Most My No Not Now On One Other Our She Since So Some Such That
    The Their Then There These They This Those Though Thus To Under Until We What When Where
    Whether Which While Who Why With Yet You Your
    """
)
# Possessive, and never tried in the middle of a run of stops, so that no text takes long.
_BOUNDARY = re.compile(
    r"""
    (?<! [.!?…] ) (?P<stop> [.!?…]++ ) (?P<close> ["”’')\]]*+ )
    (?: \s++ | (?<= [”’] ) (?= [“‘] ) )  # some books set no space between two speeches
    (?= ["“‘'(\[¿¡]*+ (?P<next> [^\W_]++ ) )
    | [。！？]++ [」』”]*+                # followed by no space
    """,  # noqa: RUF001 (the marks are meant)
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"""[^\s"“”‘’'()\[\]]*$""")  # noqa: RUF001
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")


def split_sentences(paragraph: str) -> list[str]:
    """The sentences of a paragraph, in order, with no white space around them.

    >>> split_sentences("Dr. J. Smith paid $3.50 in the U.S. Army. “Why?” he said. (See Fig. 2.)")
    ['Dr. J. Smith paid $3.50 in the U.S. Army.', '“Why?” he said.', '(See Fig. 2.)']
    """
    sentences = []
    start = 0
    for match in _BOUNDARY.finditer(paragraph):
        if match["stop"] is None or _ends(paragraph, match):
            sentences.append(paragraph[start : match.end()].strip())
            start = match.end()
    sentences.append(paragraph[start:].strip())
    return [sentence for sentence in sentences if sentence]


def _ends(paragraph: str, match: re.Match[str]) -> bool:
    """Whether the stop of a match of `_BOUNDARY` ends a sentence."""
    following = match["next"]
    if following[0].islower():
        return False
    if match["stop"] != ".":
        return True
    # A word too long to be an abbreviation comes cut, which does not matter.
    found = _LAST_WORD.search(paragraph, max(0, match.start() - 16), match.start())
    word = found[0] if found else ""
    if word.lower() in _TITLES:
        return False
    if following[0].isdigit() and word.lower() in _BEFORE_NUMBERS:
        return False
    if _INITIALS.fullmatch(word) and word != "I":
        return following in _OPENERS
    return True
