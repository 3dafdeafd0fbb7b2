"""Log records in, one line each out: JSON for machines or text for people.

Control characters never reach the output raw, and an exception is logged by its type and place:
its message may hold a client's text, so it is left out above the debug level.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import orjson

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_FRAMES: Final = 12  # the innermost ones; those outside are the framework's

# What a record holds before anyone adds to it with `extra=`; the rest are our fields.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "color_message"}


def set_up_logging(level: str, style: str) -> None:
    """Sends everything, uvicorn's lines too, to standard error through one handler.

    Args:
        level: the least severe level that is written, such as `info`.
        style: `json` or `text`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Uvicorn's own notes on every start and stop would only repeat ours.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; its `extra=` fields stand beside the standard ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line for `record`, without a line end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_added(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = place_of(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """Writes a record for a person: time, level, message, then its fields as `key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line for `record`; only an exception's trace adds further lines."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = "".join(f" {key}={value}" for key, value in _added(record).items())
        line = one_line(f"{time} {record.levelname.lower()} {record.getMessage()}{fields}")
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + place_of(record.exc_info)
        return line


def _added(record: logging.LogRecord) -> Mapping[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def one_line(text: str) -> str:
    r"""Escapes what could start a line of its own or move a terminal's cursor.

    >>> one_line("first\nsecond \x1b[31m")
    'first\\nsecond \\x1b[31m'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def place_of(error: ExcInfo | tuple[None, None, None]) -> str:
    """Names an exception's type and the frames it passed; its message only at the debug level."""
    kind, value, trace = error
    if kind is None:
        return ""
    frames = "".join(traceback.format_tb(trace, limit=-_FRAMES)).rstrip()
    shown = f": {one_line(str(value))}" if logging.getLogger().isEnabledFor(logging.DEBUG) else ""
    return f"{frames}\n{kind.__qualname__}{shown}"
