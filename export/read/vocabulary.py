"""A vocab.txt in, word piece -> id out: one piece a line, its id the line's number from 0."""

import re
from pathlib import Path

from export.read.documents import read_text

VOCABULARY = "vocab.txt"


def read_vocabulary(path: Path) -> dict[str, int]:
    """Word piece -> id. A piece on two lines keeps the later id, as everywhere else.

    Raises:
        ExportError: the file cannot be read.
    """
    # Not splitlines(): vocabularies of many languages hold U+2028 and its like as pieces.
    lines = read_text(path).removesuffix("\n").split("\n")
    return {piece: index for index, piece in enumerate(lines)}


def looks_cased(vocabulary: dict[str, int]) -> bool:
    """Whether the pieces keep capital letters; [CLS] and its like do not count.

    >>> looks_cased({"[CLS]": 0, "paris": 1})
    False
    >>> looks_cased({"[CLS]": 0, "Paris": 1})
    True
    """
    return any(re.search("[A-Z]", piece) for piece in vocabulary if not re.match(r"\[.+\]$", piece))
