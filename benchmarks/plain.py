"""The server with one of its shortcuts, or its metrics, taken out: what that is measured against.

Usage: python -m benchmarks.plain SHORTCUT [options of the server], as `benchmarks.paired` runs it.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from server.http import routing, shortcut
from server.inference.runtime.spared import Spared, SparedSoFar
from server.inference.scheduling.counters import Counters
from server.metrics import Metrics


def without_short_way() -> None:
    """Let FastAPI resolve and validate every request."""
    vars(routing)["declares_only_a_body"] = lambda _: False


def without_shortcut() -> None:
    """Let FastAPI route every request."""
    vars(shortcut)["plain_handlers"] = lambda _: {}


def without_metrics() -> None:
    """Count nothing, of requests, batches and what was spared."""
    Metrics.observe = _nothing  # type: ignore[method-assign]
    Counters.ended = _nothing  # type: ignore[method-assign]
    Spared.of = _nothing  # type: ignore[method-assign, assignment]
    SparedSoFar.add = _nothing  # type: ignore[method-assign]


def _nothing(*_: object, **__: object) -> None:
    """In place of what counts."""


SHORTCUTS: Final[Mapping[str, Callable[[], None]]] = {
    "metrics": without_metrics,
    "shortcut": without_shortcut,
    "short-way": without_short_way,
}


if __name__ == "__main__":
    SHORTCUTS[sys.argv[1]]()
    from server.__main__ import main

    sys.exit(main(sys.argv[2:]))
