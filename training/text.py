"""Text files in, their documents and the sentences of these out; knows nothing of tokens.

A document is the lines between two blank lines; each line is a paragraph. Of a folder each file is
a document, and so is a file of Markdown, where a blank line ends a paragraph. In a paragraph every
place where a full stop, a question or an exclamation mark is followed by white space and what may
open a sentence is a candidate; `_ends` then sorts out the stops that belong to an abbreviation or
an initial. The rules are those of English; text in other alphabets is cut where they happen to
hold, and at the full stops of Chinese and Japanese, of Indian scripts, of Arabic and of Amharic.
"""

import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from training.errors import TrainingError

Document = list[str]  # its paragraphs, none of them blank
MARKDOWN = ".md"
SUFFIXES = (".txt", ".txt.xz", ".txt.gz", MARKDOWN)
_MARK = re.compile(r"(?:#+|[-*+>]|\d+[.)])(?:\s+|$)")  # of a heading, a list's entry, a quotation


@dataclass(frozen=True)
class TextFile:
    """A file of text."""

    path: Path
    name: str  # as a corpus's description has it: within its folder
    whole: bool = False  # it is one document
    ordered: bool = True  # each sentence of a document follows the one before it


def is_text_file(path: Path) -> bool:
    """Whether its name tells that it is text."""
    return path.name.endswith(SUFFIXES) and path.is_file()


def find_files(inputs: Iterable[Path]) -> list[TextFile]:
    """The text files that are named, and those in folders that are, by name and at any depth.

    Raises:
        TrainingError: there is no such file or folder, a folder holds no text, or a file's name
            does not tell that it is text.
    """
    found = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if is_text_file(file))
            if not inside:
                raise TrainingError(f"{path} holds no files of {_either(SUFFIXES)}.")
            found += [TextFile(file, str(file.relative_to(path)), whole=True) for file in inside]
            continue
        if not path.is_file():
            raise TrainingError(f"There is no file {path}.")
        if not path.name.endswith(SUFFIXES):
            raise TrainingError(f"{path} is not a {_either(SUFFIXES)} file, nor a folder of them.")
        found.append(TextFile(path, path.name, whole=path.suffix == MARKDOWN))
    return found


def read_documents(
    path: Path, advanced: Callable[[int], object], *, whole: bool = False
) -> Iterator[Document]:
    """The documents of a text file in UTF-8, in order.

    Args:
        path: a .txt, .txt.xz, .txt.gz or .md file.
        whole: it is one document.
        advanced: is told how many bytes of the file, as it lies on disk, have been read since.

    Raises:
        TrainingError: the file is not UTF-8, or its compressed data are damaged.
    """
    document: Document = []
    position = 0
    first, markdown = True, path.suffix == MARKDOWN
    with path.open("rb") as raw:
        try:
            for line in _decompressed(raw, path.suffix):
                text = line.decode("utf-8-sig" if first else "utf-8").strip()
                first = False
                if text or markdown:
                    document.append(text)
                elif document and not whole:
                    yield document
                    document = []
                    advanced(raw.tell() - position)
                    position = raw.tell()
        except UnicodeDecodeError:
            raise TrainingError(f"{path} is not text in UTF-8.") from None
        except (OSError, EOFError, lzma.LZMAError, zlib.error):
            raise TrainingError(f"{path} cannot be read: its data are damaged.") from None
        advanced(raw.tell() - position)
    document = markdown_paragraphs(document) if markdown else document
    if document:
        yield document


def markdown_paragraphs(lines: Iterable[str]) -> Document:
    """The paragraphs of a file of Markdown: wrapped lines joined, without code and marks of lines.

    >>> markdown_paragraphs(["# Rivers", "The Oder", "flows north.", "", "- One", "- Two"])
    ['Rivers', 'The Oder flows north.', 'One', 'Two']
    """
    found: Document = []
    goes_on = fenced = False
    for line in lines:
        if line.startswith(("```", "~~~")):
            fenced, goes_on = not fenced, False
        if fenced or not line or line.startswith(("```", "~~~")):
            goes_on = False
            continue
        begun = _MARK.match(line)
        text = line[begun.end() :] if begun else line
        if begun or not goes_on:
            found.append(text)
        else:
            found[-1] += f" {text}"
        goes_on = not line.startswith("#")
    return [paragraph for paragraph in found if paragraph]


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}"


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
    (?<! [.!?…।॥؟۔።] ) (?P<stop> [.!?…।॥؟۔።]++ ) (?P<close> ["”’')\]]*+ )
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
