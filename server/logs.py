"""Log records in, one line each out: JSON for machines or text for people.

Control characters never reach the output raw, and an exception is logged by its type and place:
its message may hold a client's text, so it is left out above the debug level. A line is written
only where it goes at once, and of many alike only the first: no client, and nobody who ought to
read the log and does not, can hold the server up by it. What is written while a request is answered
names it, whoever writes it.
"""

import logging
import select
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, NamedTuple, TextIO

import orjson

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_FRAMES: Final = 12  # the innermost ones; those outside are the framework's
_LONGEST: Final = 1000  # characters of a message, and twice as many of an exception's place
_LINE_BYTES: Final = 4096  # which a pipe takes whole, or says beforehand that it does not

_ALIKE: Final = 20  # lines of one kind that are written
_PERIOD_S: Final = 10.0  # in so many seconds
_MOST_KINDS: Final = 256


class Asked(NamedTuple):
    """The request that is being answered, as lines name it."""

    request_id: bytes
    trace_id: str = ""
    """If it is traced."""


ASKED: Final[ContextVar[Asked | None]] = ContextVar("asked", default=None)
"""By which a task, and what it does on other threads, knows for whom it works."""

# What a record holds before anyone adds to it with `extra=`; the rest are our fields.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "color_message"}


def set_up_logging(level: str, style: str) -> None:
    """Sends everything, uvicorn's lines too, to standard error through one handler.

    Args:
        level: the least severe level that is written, such as `info`.
        style: `json` or `text`.
    """
    handler = PromptHandler(sys.stderr)
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    handler.addFilter(Floods())
    handler.addFilter(ByRequest())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Uvicorn's own notes on every start and stop would only repeat ours.
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))


class PromptHandler(logging.StreamHandler[TextIO]):
    """Writes a line if the stream takes it at once, and else drops and counts it.

    A pipe is the queue: it holds 64 KB on Linux. Whoever waits for room in it waits for its reader.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.dropped = 0
        self._untold = 0
        self._poll: select.poll | None = None  # of a stream that is no file, and so never waits
        with suppress(OSError, ValueError):
            poll = select.poll()
            poll.register(stream.fileno(), select.POLLOUT)
            self._poll = poll

    def emit(self, record: logging.LogRecord) -> None:
        """Writes, with the number of lines that were dropped before."""
        if not self._has_room():
            self._untold += 1
            self.dropped += 1
            return
        if self._untold:
            vars(record)["lines_dropped"], self._untold = self._untold, 0
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Cuts what is longer than a pipe takes at once."""
        line = super().format(record)
        whole = len(line) * 4 < _LINE_BYTES or len(line.encode()) < _LINE_BYTES
        return line if whole else line.encode()[: _LINE_BYTES - 8].decode(errors="ignore") + "..."

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 (logging's)
        """Counts a line that could not be written; there is no other place to tell."""
        self.dropped += 1

    def _has_room(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))


def dropped_lines() -> int:
    """How many lines were not written since nobody read those before."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, PromptHandler))


@dataclass
class _Kind:
    since: float
    count: int = 1


class Floods(logging.Filter):
    """Lets the first lines of a kind pass in every period; the next one tells of those between."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[object, ...], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write `record`; lines for debugging always are."""
        if record.levelno <= logging.DEBUG:
            return True
        name = (record.name, record.levelno, record.msg, getattr(record, "status", None))
        kind, now = self._kinds.get(name), time.monotonic()
        if kind is not None and now - kind.since < _PERIOD_S:
            kind.count += 1
            return kind.count <= _ALIKE
        if kind is not None and kind.count > _ALIKE:
            record.alike_left_out = kind.count - _ALIKE
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[name] = _Kind(now)
        return True


class ByRequest(logging.Filter):
    """Adds the id of the request that is being answered, if one is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record pass."""
        asked = ASKED.get()
        if asked is not None:
            record.request_id = asked.request_id.decode()
            if asked.trace_id:
                record.trace_id = asked.trace_id
        return True


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object; its `extra=` fields stand beside the standard ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line for `record`, without a line end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:_LONGEST],
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
    return f"{frames}\n{kind.__qualname__}{shown[:_LONGEST]}"[-2 * _LONGEST :]
