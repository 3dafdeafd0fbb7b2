"""A JSON file of a checkpoint in, typed fields out, each checked where it is read.

Knows nothing of BERT: only that a file from elsewhere may be missing, huge, cut short, or hold
another type than expected, and that each of these deserves one sentence.
"""

import json
import re
from pathlib import Path
from typing import Self

from export.errors import ExportError, told
from export.read.files import called, check_file, is_there
from models import fields

# A tokenizer.json with 250,000 entries takes 10 MB; nothing that BERT needs comes near this.
MAX_BYTES = 64 * 1024 * 1024
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, *, may_be_empty: bool = False) -> str:
    """The whole of a UTF-8 file.

    Raises:
        ExportError: as `check_file`, or it is larger than `MAX_BYTES`, or not UTF-8.
    """
    check_file(path, may_be_empty=may_be_empty)
    try:
        with told(path, "read"):
            if path.stat().st_size > MAX_BYTES:
                raise ExportError(f"{called(path)} is larger than {MAX_BYTES // 2**20} MB.")
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ExportError(f"{called(path)} is not UTF-8 text (byte {error.start}).") from None


def read_json(path: Path) -> object:
    """Whatever JSON the file holds.

    Raises:
        ExportError: as `read_text`, or the text is not JSON, or could not be written again.
    """
    text = read_text(path).removeprefix("\ufeff")  # as some editors begin every file
    try:
        value: object = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated")
        hint = "; it may have been cut short" if cut else ""
        place = f"line {error.lineno}, column {error.colno}"
        reason = f"is not valid JSON ({place}){hint}"
    except RecursionError:
        reason = "is not valid JSON: its lists or objects nest without end"
    except UnicodeEncodeError:
        reason = "holds half a character (a lone surrogate)"
    except ValueError:
        reason = "holds a number of thousands of digits"
    else:
        return value
    raise ExportError(f"{called(path)} {reason}.")


class Fields(fields.Fields):
    """The fields of one JSON object of a checkpoint."""

    error = ExportError

    @classmethod
    def of(cls, path: Path, *, optional: bool = False) -> Self:
        """The object in a JSON file; no fields where the file may be absent and is."""
        if optional and not is_there(path):
            return cls({}, called(path))
        return cls.wrap(read_json(path), called(path))
