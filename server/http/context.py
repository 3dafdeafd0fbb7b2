"""What one request and its answer have in common, from the first header to the log line."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from server.http.disconnect import Departures
from server.process.background import BackgroundTasks

if TYPE_CHECKING:
    from server.inference.model_registry import Registry
    from server.inference.pipeline import Usage
    from server.metrics import Metrics
    from server.process.shared_memory import ProcessGroupMember
    from server.settings import Settings

# Where an ASGI scope carries its exchange.
SCOPE_KEY: Final = "cloze"

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_NUMBERS: Final = random.Random()  # noqa: S311 - an id is no secret


@dataclass(frozen=True)
class Service:
    """What every request may need of the server: its options, its models, its counters."""

    settings: Settings
    registry: Registry
    metrics: Metrics
    member: ProcessGroupMember | None = None
    """Of one process among several."""
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    departures: Departures = field(default_factory=Departures)


@dataclass(slots=True)
class Exchange:
    """One request on its way; the stages that it passes fill it in."""

    service: Service
    request_id: bytes
    started: float = field(default_factory=time.monotonic)  # seconds, as deadlines are
    route: str = "unmatched"  # a template, never a path: it becomes a metric's label
    model: str = ""  # as configured; empty until a loaded model was found
    usage: Usage | None = None
    status: int = 0  # 0 until the answer has begun


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    r"""Returns the client's `x-request-id` if it is short and harmless, otherwise a new one.

    >>> request_id([(b"x-request-id", b"order-17")])
    b'order-17'
    >>> len(request_id([(b"x-request-id", b"a\tb")]))
    16
    """
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return value
    return b"%016x" % _NUMBERS.getrandbits(64)
