"""A checkpoint's model card in, the license that it states out."""

import re
from pathlib import Path

from export.errors import told

UNKNOWN = "unknown"
_LONGEST = 1 << 20  # bytes; what a card states stands at its beginning


def read_license(card: Path) -> str:
    """The license that a card states, "unknown" where there is no card or it says nothing.

    A card is prose in any encoding. What it states is ASCII, so bytes that are not UTF-8 are passed
    over: nothing else of a card is read.

    Raises:
        ExportError: it is there and may not be read.
    """
    if not card.is_file():
        return UNKNOWN
    with told(card, "read"), card.open("rb") as file:
        data = file.read(_LONGEST)
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return license_of(data.decode("utf-16" if wide else "utf-8-sig", errors="replace"))


def license_of(card: str) -> str:
    r"""The `license` of the YAML between a card's first two lines of dashes, "unknown" without one.

    >>> license_of("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model")
    'apache-2.0'
    >>> license_of("# A model without front matter, license: mit")
    'unknown'
    """
    lines = card.replace("\r\n", "\n").replace("\r", "\n")
    front = re.match(r"---\n(.*?)\n---\s*$", lines, re.DOTALL | re.MULTILINE)
    found = front and re.search(
        r"""^license:\s*(?:\[|\n?\s*-)?\s*["']?([\w.+-]+)""", front[1], re.MULTILINE
    )
    return found[1] if found else UNKNOWN
