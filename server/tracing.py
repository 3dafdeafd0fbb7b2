"""A traced request's times in, spans out: what the server asks of whatever writes them.

Knows nothing of OpenTelemetry, which is loaded only where traces are wanted
(`server.process.otel`). Without a tracer a request pays for one comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from server.inference.pipeline import Usage
from server.inference.scheduling.batcher import TracedBatch

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case and values; a name may come more than once."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A request that is traced."""

    span: Any
    """Of whatever writes it."""
    traceparent: bytes
    """The header of W3C's Trace Context by which others go on from it."""
    trace_id: str
    """By which logs name it."""


class Finished(NamedTuple):
    """What became of a request; times are in `time.monotonic()` seconds."""

    method: str
    route: str
    model: str
    request_id: str
    status: int
    reason: str
    started: float
    ended: float
    usage: Usage | None


class Stage(NamedTuple):
    """A part of a request's time."""

    name: str
    begun: float
    ended: float


class Tracer(Protocol):
    """Writes spans. Belongs to the event loop's thread."""

    def begin(self, headers: Headers, method: str, started: float) -> Trace | None:
        """The trace of a request whose head has come, or nothing if it is not chosen."""

    def batch(self, model: str, batch: TracedBatch) -> None:
        """A batch with texts of requests that this tracer traces."""

    def end(self, trace: Trace, finished: Finished) -> None:
        """A traced request that was answered."""

    def close(self) -> None:
        """Hands on what was written; nothing comes after."""


def stages(finished: Finished) -> list[Stage]:
    """The stages of an answered request, one after the other.

    Of one that went through several rounds or batches, `tokenise`, `queue` and `compute` are as
    long as all of theirs and begin where the first one did.

    >>> usage = Usage(9, (False,), 0.25, 0.5, 2.0, begun=50.5, computed=53.5)
    >>> asked = Finished("POST", "/embed", "m", "id", 200, "", 50.0, 54.0, usage)
    >>> [(stage.name, stage.begun, stage.ended) for stage in stages(asked)][1:4]
    [('tokenise', 50.5, 50.75), ('queue', 50.75, 51.25), ('compute', 51.25, 53.25)]
    """
    usage = finished.usage
    if usage is None:
        return []
    tokenised = usage.begun + usage.tokenise_s
    taken = tokenised + usage.queue_s
    return [
        Stage("receive", finished.started, usage.begun),
        Stage("tokenise", usage.begun, tokenised),
        Stage("queue", tokenised, taken),
        Stage("compute", taken, taken + usage.compute_s),
        Stage("answer", usage.computed, finished.ended),
    ]
