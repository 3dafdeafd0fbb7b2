"""A server that starts in, what a person at its terminal reads out: progress, then where and what.

Only where standard error is a terminal and nobody has said how to log; a machine reads the log.
"""

import asyncio
import shutil
import textwrap
import time
from collections.abc import Sequence
from typing import Final, TextIO

from server import __version__
from server.inference.model_registry import Registry
from server.inference.tasks import TASKS
from server.inference.tasks.task import supports
from server.logs import one_line

_TICK_S: Final = 0.5
_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 (told, not listened on)
_CLEAR: Final = "\r\x1b[K"  # the line, so that the next one takes its place
_MOST_MODELS: Final = 12  # that are listed


class Reception:
    """What is told on one terminal. Belongs to the event loop's thread."""

    def __init__(self, stream: TextIO, host: str, port: int) -> None:
        self._stream = stream
        self._address = address(host, port)
        self._begun = time.monotonic()
        self._doing = "starting"

    def loading(self, name: str, place: int, count: int) -> None:
        """Tells which model is being loaded, the `place`th of `count`."""
        self._begun = time.monotonic()
        self._doing = one_line(f"loading {name} ({place} of {count})")
        self._show_progress()

    async def tick(self) -> None:
        """Shows what is being done and for how long, until it is cancelled."""
        while True:
            self._show_progress()
            await asyncio.sleep(_TICK_S)

    def make_room(self) -> None:
        """Clears the line for the log, which says what went wrong."""
        self._show(_CLEAR)

    def ready(self, registry: Registry) -> None:
        """Tells where the server is and what it can do."""
        width = shutil.get_terminal_size().columns
        told = [f"Cloze {__version__} answers at {self._address} (Ctrl+C stops it)"]
        self._show(_CLEAR + "\n".join([*told, *models_told(registry, width)]) + "\n")

    def _show_progress(self) -> None:
        self._show(f"{_CLEAR}{self._doing}, {time.monotonic() - self._begun:.0f} s")

    def _show(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds the server.

    >>> address("0.0.0.0", 8080), address("::1", 80)
    ('http://localhost:8080', 'http://[::1]:80')
    """
    if host in _EVERYWHERE:
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def models_told(registry: Registry, width: int) -> Sequence[str]:
    """Each model and the tasks that it answers, in lines no wider than `width` characters."""
    names = list(registry.pipelines)
    margin = max(map(len, names)) + 4
    lines: list[str] = []
    for name in names[:_MOST_MODELS]:
        manifest = registry.pipelines[name].manifest
        tasks = dict.fromkeys(task.name for task in TASKS if supports(task, manifest))
        default = " (unless another one is named)" if name == registry.default and names[1:] else ""
        lines += textwrap.wrap(
            ", ".join(tasks) + default,
            width=max(width, margin + 40),
            initial_indent=f"  {name:<{margin - 2}}",
            subsequent_indent=" " * margin,
            break_on_hyphens=False,
        )
    if names[_MOST_MODELS:]:
        lines.append(f"  and {len(names) - _MOST_MODELS} more; GET /v1/models lists all")
    return lines
