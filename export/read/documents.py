"""A JSON file of a checkpoint in, typed fields out, each checked where it is read.

Knows nothing of BERT: only that a file from elsewhere may be missing, huge, cut short, or hold
another type than expected, and that each of these deserves one sentence.
"""

import json
from pathlib import Path
from typing import Self

from export.errors import ExportError, told
from models import fields

# A tokenizer.json with 250,000 entries takes 10 MB; nothing that BERT needs comes near this.
MAX_BYTES = 64 * 1024 * 1024


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file.

    Raises:
        ExportError: it is missing, larger than `MAX_BYTES`, or not UTF-8.
    """
    try:
        with told(path, "read"):
            if path.stat().st_size > MAX_BYTES:
                raise ExportError(f"{path.name} is larger than {MAX_BYTES // 2**20} MB.")
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExportError(f"{path.name} is not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path) -> object:
    """Whatever JSON the file holds.

    Raises:
        ExportError: as `read_text`, or the text is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise ExportError(f"{path.name} is not valid JSON; it may have been cut short.") from None


class Fields(fields.Fields):
    """The fields of one JSON object of a checkpoint."""

    error = ExportError

    @classmethod
    def of(cls, path: Path, *, optional: bool = False) -> Self:
        """The object in a JSON file; no fields where the file may be absent and is."""
        if optional and not path.is_file():
            return cls({}, path.name)
        return cls.wrap(read_json(path), path.name)
