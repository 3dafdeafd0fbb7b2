"""The text of a CoNLL file in, a record with the words and tags of each sentence out.

A word per line with 2 to 4 columns, a blank line between sentences (Tjong Kim Sang and De Meulder
2003). The word comes first, behind its number in the sentence where there is one, and the tag last;
`--columns tokens=2,labels=3` says otherwise.
"""

import re
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from training.data.record import Record
from training.data.text_file import lines_of
from training.errors import TrainingError

COLUMNS = range(2, 5)
DOCUMENT = "-DOCSTART-"
CONLL_FIELDS = {"tokens", "labels", "document"}  # of a record
_BLANKS = re.compile(r"[ \t]+")  # not those of Unicode, which are words or parts of them

Line = tuple[int, list[str]]  # its number, its columns


@dataclass(frozen=True)
class Columns:
    """Where a word and its tag stand, from 0; a tag may be counted from the end."""

    word: int
    tag: int


def looks_like_conll(text: str) -> bool:
    r"""Whether the first lines all have the same 2 to 4 columns.

    >>> looks_like_conll("Ada B-PER\nlives O\n\nBen B-PER\n"), looks_like_conll("text,label\na,b\n")
    (True, False)
    """
    lines = [line for line in lines_of(text)[:50] if line.strip()]
    counts = {len(_split(line, tabs="\t" in line)) for line in lines if not line.startswith("#")}
    return len(counts) == 1 and counts <= set(COLUMNS)


def conll_records(
    text: str, name: str, given: Mapping[str, str] | None = None, *, header: bool = False
) -> Iterator[Record]:
    """The sentences of a text, each at the line of its first word.

    Where lines of `-DOCSTART-` part documents, a sentence has the number of its own. `given` says
    in which columns (from 1) tokens, labels and a document stand; the first line may be a header.
    """
    given = given or {}
    sentences = list(_sentences(text, name, header=header))
    columns = _columns(sentences, given, name)
    starts = [n for n, line in enumerate(lines_of(text), start=1) if line.startswith(DOCUMENT)]
    for sentence in sentences:
        line, first = sentence[0]
        document: dict[str, Any] = {"document": bisect(starts, line)} if starts else {}
        if "document" in given:
            document = {"document": first[int(given["document"]) - 1]}
        yield Record(
            {
                "tokens": [fields[columns.word] for _, fields in sentence],
                "labels": [fields[columns.tag] for _, fields in sentence],
                **document,
            },
            f"{name}, line {line}",
        )


def _sentences(text: str, name: str, *, header: bool) -> Iterator[list[Line]]:
    """The lines between blank ones, all with as many columns as the first."""
    lines = lines_of(text)
    if header:
        lines[next(number for number, line in enumerate(lines) if line.strip())] = ""
    tabs = all("\t" in line for line in lines if line.strip() and not line.startswith("#"))
    expected = 0
    sentence: list[Line] = []
    for number, line in enumerate([*lines, ""], start=1):
        fields = _split(line, tabs=tabs)
        if not line.strip() or fields[0] == DOCUMENT:
            if sentence:
                yield sentence
            sentence = []
            continue
        if not sentence and line.startswith("#") and len(fields) != expected:
            continue  # a comment, as in CoNLL-U
        expected = expected or len(fields)
        _check(fields, expected, f"{name}, line {number}", tabs=tabs)
        sentence.append((number, fields))


def _check(fields: list[str], expected: int, place: str, *, tabs: bool) -> None:
    between = "a tab" if tabs else "a blank"
    if expected not in COLUMNS:
        raise TrainingError(
            f"{place}: it has {_columns_of(len(fields))}; CoNLL's lines have 2 to 4, a word and "
            f"its tag among them, with {between} between them."
        )
    if len(fields) != expected or not all(fields):
        found = "an empty column" if len(fields) == expected else _columns_of(len(fields))
        raise TrainingError(
            f"{place}: it has {found}, where {expected} are expected as on the first line, with "
            f"{between} between them; a blank line ends a sentence."
        )


def _columns(sentences: list[list[Line]], given: Mapping[str, str], name: str) -> Columns:
    """Where words and tags stand."""
    count = len(sentences[0][0][1]) if sentences else 0
    for value in given.values():
        if not value.isdecimal() or not 1 <= int(value) <= count:
            raise TrainingError(
                f"--columns counts the {count} columns of {name} from 1, as in tokens=1,labels=2."
            )
    numbered = count > COLUMNS[0] and all(
        [fields[0] for _, fields in sentence] == [str(n) for n in range(1, len(sentence) + 1)]
        for sentence in sentences
    )
    return Columns(
        word=int(given.get("tokens", 2 if numbered else 1)) - 1,
        tag=int(given["labels"]) - 1 if "labels" in given else count - 1,
    )


def _split(line: str, *, tabs: bool) -> list[str]:
    if tabs:
        return [field.strip(" ") for field in line.rstrip("\t").split("\t")]
    return _BLANKS.split(line.strip(" \t"))


def _columns_of(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"
