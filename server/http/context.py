"""What one request and its answer have in common, from the first byte to the log line."""

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self

from starlette.types import Scope

from server.errors import BodyTooLarge, InvalidParameter
from server.http.compression import IDENTITY, inflated, known_coding
from server.inference.admission import Admission, Reservation
from server.inference.model_registry import Phase, Registry
from server.inference.offload import Offload
from server.inference.pipeline import Usage
from server.keys import KeyFile
from server.metrics import Metrics
from server.process.background import BackgroundTasks
from server.process.shared_memory import ProcessGroupMember
from server.settings import Settings
from server.tracing import Trace, Tracer

# Where an ASGI scope carries its context, and when the request's first byte came.
CONTEXT: Final = "cloze"
FIRST_BYTE: Final = "cloze.first_byte"
# Where it says that a connection of HTTP/1.0 is kept.
KEPT: Final = "cloze.kept"
# The error of one that the protocol refuses, and whether its body has come to its end.
REFUSAL: Final = "cloze.refusal"
WHOLE: Final = "cloze.whole"
PROBES: Final = frozenset(
    {"/livez", "/readyz", "/health", "/v2/health/live", "/v2/health/ready", "/ping"}
)
_DOCS: Final = frozenset({"/", "/docs", "/openapi.json"})
TIMEOUT_HEADER: Final = "x-request-timeout-ms"

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_BODY_GRACE_S: Final = 5.0  # seconds of a body before its rate counts
_NUMBERS: Final = random.Random()  # noqa: S311 - an id is no secret


@dataclass(frozen=True)
class Service:
    """What every request may need of the server: its options, its models, its counters."""

    settings: Settings
    registry: Registry
    metrics: Metrics
    admission: Admission
    offload: Offload
    keys: KeyFile = field(default_factory=KeyFile)
    member: ProcessGroupMember | None = None
    """Of one process among several."""
    background: BackgroundTasks = field(default_factory=BackgroundTasks)
    tracer: Tracer | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        member: ProcessGroupMember | None = None,
        background: BackgroundTasks | None = None,
        tracer: Tracer | None = None,
    ) -> Self:
        """The service of a process that has loaded nothing yet.

        Raises:
            KeyFileError: the file of keys cannot be used.
        """
        registry, admission = Registry(), Admission(settings)
        return cls(
            settings,
            registry,
            Metrics(
                lambda: registry.pipelines,
                admission,
                member,
                lambda: registry.phase is Phase.READY,
            ),
            admission,
            Offload(),
            KeyFile(settings.api_key_file, settings.processes or 1),
            member,
            background or BackgroundTasks(),
            tracer,
        )


@dataclass(slots=True)
class RequestContext:
    """One request on its way; the stages that it passes fill it in."""

    service: Service
    request_id: bytes
    started: float
    """In `time.monotonic()` seconds, as deadlines are."""
    reservation: Reservation
    headers: Mapping[bytes, bytes]
    """Of two with one name, the last."""
    deadline: float = 0.0
    body_bytes: int = 0
    """So far."""
    has_body: bool = False
    """Whether one was announced, and not all of it has come."""
    received: bool = False
    """To the end of its body."""
    coding: str = IDENTITY
    """Of its body."""
    route: str = "unmatched"  # a template, never a path: it becomes a metric's label
    model: str = ""  # as configured; empty until a loaded model was found
    named: str | None = None
    """The model that its body asks for, if any."""
    ignored: tuple[str, ...] = ()
    """Fields of its body that its route does not know."""
    key: str = ""
    """The name of the key that it was sent with."""
    usage: Usage | None = None
    trace: Trace | None = None
    """If it is traced."""
    reason: str = ""
    """Why it is answered with an error, if it is; a word of a closed set."""
    status: int = 0  # 0 until the answer has begun

    @classmethod
    def of(cls, scope: Scope, service: Service) -> Self:
        """The context of a request whose head has come."""
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = b"%016x" % _NUMBERS.getrandbits(64)
        started = scope.get(FIRST_BYTE) or time.monotonic()
        tracer = service.tracer
        trace = None if tracer is None else tracer.begin(scope["headers"], scope["method"], started)
        announced = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        return cls(
            service,
            request_id,
            started,
            service.admission.open(),
            headers,
            has_body=announced and WHOLE not in scope,
            trace=trace,
        )

    def authenticate(self, scope: Scope) -> None:
        """Find out whose request it is, where keys are asked for.

        Raises:
            Unauthorized: it shows no key, or not one that is known here.
            QueueFull: its key has used up what it may use in a minute.
        """
        ring = self.service.keys.ring
        if ring is None or _is_open(scope, self.service.settings):
            return
        fields: dict[bytes, list[bytes]] = {b"authorization": [], b"x-api-key": []}
        for name, value in scope["headers"]:
            if name in fields:
                fields[name].append(value)
        key = ring.find(fields)
        self.key = key.name
        key.begin()
        self.reservation.account = key

    def check(self) -> None:
        """Settle the deadline, and refuse what the head alone shows to be wrong.

        Raises:
            InvalidParameter: the header is not a number of milliseconds.
            BodyTooLarge: more is announced than is accepted.
            UnsupportedMediaType: the body is compressed in a way that is not read here.
        """
        settings, headers = self.service.settings, self.headers
        self.deadline = self.started + settings.default_timeout_s
        timeout = headers.get(b"x-request-timeout-ms")
        if timeout is not None:
            if not (timeout.isdigit() and len(timeout) < 10 and int(timeout)):
                raise InvalidParameter(
                    f"{TIMEOUT_HEADER} should be a whole number of milliseconds above 0.",
                    param=TIMEOUT_HEADER,
                )
            self.deadline = self.started + min(int(timeout) / 1000, settings.max_timeout_s)
        coding = headers.get(b"content-encoding")
        if coding is not None:
            self.coding = known_coding(coding)
        if int(headers.get(b"content-length", 0)) > settings.max_body_bytes:
            raise _too_large(settings.max_body_bytes)

    def body_until(self) -> float:
        """When to give up waiting for more of the body, in `time.monotonic()` seconds.

        A client has a while for its first bytes, and from then on sends at a least rate.
        """
        settings = self.service.settings
        earned = _BODY_GRACE_S + self.body_bytes / settings.min_bytes_per_s
        return self.started + min(settings.body_timeout_s, earned)

    def take(self, count: int) -> None:
        """Hold `count` more bytes of the body.

        Raises:
            BodyTooLarge: they are more than is accepted of one request.
            QueueFull: they are more than is kept of all of them.
        """
        self.body_bytes += count
        if self.body_bytes > self.service.settings.max_body_bytes:
            raise _too_large(self.service.settings.max_body_bytes)
        self.reservation.receive(count)

    async def inflate(self, packed: bytes) -> bytes:
        """The bytes of a body that came compressed, held as those of one that did not.

        Raises:
            ClozeError: it is damaged, or larger than is accepted.
        """
        most = self.service.settings.max_body_bytes
        work = partial(inflated, packed, self.coding, most)
        raw = await self.service.offload.run(lambda _: work(), self.deadline)
        self.reservation.receive(len(raw))
        self.coding = IDENTITY  # for whoever reads it again
        return raw


def is_probe(path: str) -> bool:
    """Whether a path, as it was sent, is that of a probe; one slash may end it, as everywhere.

    >>> is_probe("/livez"), is_probe("/livez/"), is_probe("/livez//"), is_probe("/%6civez")
    (True, True, False, False)
    """
    return path.removesuffix("/") in PROBES


def _is_open(scope: Scope, settings: Settings) -> bool:
    """Whether a request needs no key, by its path exactly as it was sent.

    What a browser asks beforehand, without a key, is answered by the layer for CORS, if there is.
    """
    method, path = scope["method"], scope["raw_path"].decode("latin-1")
    if method not in {"GET", "HEAD"}:
        return False
    path = path.removeprefix(settings.root_path)
    if is_probe(path):
        return True
    if len(path) > 1:
        path = path.removesuffix("/")
    if path == "/metrics":
        return settings.open_metrics
    return settings.open_docs and (path in _DOCS or path.startswith(("/docs/", "/page/")))


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than the {most} bytes accepted; send fewer texts.")
