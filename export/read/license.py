"""A checkpoint's README.md in, the license that its front matter states out."""

import re
from pathlib import Path

from export.read.documents import read_text

UNKNOWN = "unknown"


def read_license(folder: Path) -> str:
    """The license of a model card, "unknown" without a card or without a license in it."""
    card = folder / "README.md"
    return license_of(read_text(card)) if card.is_file() else UNKNOWN


def license_of(card: str) -> str:
    r"""The `license` of the YAML between the first two lines of dashes.

    >>> license_of("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model")
    'apache-2.0'
    >>> license_of("# A model without front matter, license: mit")
    'unknown'
    """
    front = re.match(r"---\n(.*?)\n---\s*$", card, re.DOTALL | re.MULTILINE)
    found = front and re.search(r"^license:\s*(?:\[|\n?\s*-)?\s*([\w.+-]+)", front[1], re.MULTILINE)
    return found[1] if found else UNKNOWN
