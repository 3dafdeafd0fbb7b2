"""What a connection may do, on uvicorn's HTTP protocol: how much, how slowly, and how it ends.

    head -> bounded, checked -> uvicorn -> application -> answer -> read at a least rate -> closed

A request that may not be is answered by the application like any other: it gets a scope with the
error in it (`REFUSAL`), so that it has an id, is counted, and comes after the answers before it.
"""

import asyncio
import fcntl
import resource
import socket
import struct
import sys
import termios
import time
import weakref
from collections import Counter
from contextlib import suppress
from typing import Any, ClassVar, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.errors import (
    ClozeError,
    HeadTooLarge,
    InvalidHttp,
    MethodNotAllowed,
    Overloaded,
    RequestTimeout,
    UnknownTransferCoding,
    UrlTooLong,
)
from server.http.context import FIRST_BYTE, KEPT, REFUSAL, WHOLE, is_probe
from server.process.sockets import is_readable
from server.settings import Connections

_QUIET_S: Final = 0.5  # in which no request came, after which the last connections are closed
_LINGER_S: Final = 2.0  # in which a client that is still sending may read why it was refused
_LINGER_BYTES: Final = 16_000_000  # that it may send meanwhile
_LOOK_S: Final = 5.0  # between two looks at whether a client reads its answer
_WORTH_A_LOOK: Final = 65_536  # bytes of answers, of which the kernel is asked how many wait
_PROBE_S: Final = 0.1  # between the two writes that tell a half-closed connection from a closed one
_CROWD: Final = 64  # connections beyond the limit that may still ask whether the server lives
_OTHER_FILES: Final = _CROWD + 64  # which the process opens besides
_MOST_FILES: Final = 65_536
_AHEAD: Final = 16  # requests that are read before the answers to those before them
_SLICE: Final = 8192  # bytes that are parsed before the requests in them are counted
_FRAMING_PART: Final = 8  # bytes of framing for each byte of a body: a chunk of one has five
_PREFIX: Final = b"HTTP/1.1 "  # of every answer
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_TOO_LARGE: Final = (
    "The head of the request is larger than is accepted; send fewer, shorter fields."
)


class _Refused(Exception):
    """Ends the parsing of a request."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    bounds: ClassVar[Connections] = Connections()
    addresses: ClassVar[Counter[str]] = Counter()
    """Open connections by the client's address."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._parts: list[bytes] = []
        """Of a body. The parser calls nothing but this for each of many small chunks."""
        self.on_body = self._parts.append  # type: ignore[method-assign, assignment]
        super().__init__(*args, **options)
        self.url = b""
        """Of the latest request: what comes before any, such as line ends, is refused too."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        """While an answer waits to be read."""
        self._asked_at = 0
        """Bytes that were written when the kernel was asked last how many of them wait."""
        self._unread = b""
        """What came with more requests than are read at a time."""
        self._in_body = False
        self._ended = 0
        """Requests that have come to their end."""
        self._head_bytes = 0
        """Of the head that has begun, or of what came in place of one."""
        self._framing = 0
        """Bytes of a body that are not its own, beyond some for each of those."""
        self._refusal: ClozeError | None = None
        self._resuming = False
        """While a parser is told where the body of a request begins that asked for an upgrade."""
        self.lingers = False
        """Whether all is written, and the client may still be sending."""
        self._thrown_away = 0
        """Bytes that came after a refusal."""

    # --- the connection ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection, unless there are too many."""
        self._gentle = _GentleTransport(transport, self)
        super().connection_made(cast("asyncio.Transport", self._gentle))
        address = self.client[0] if self.client else ""
        self.addresses[address] += 1
        most, each = self.bounds.max_connections, self.bounds.max_connections_per_address
        if len(self.connections) > most + _CROWD or (each and self.addresses[address] > each):
            transport.abort()
            return
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Frees what the connection held."""
        address = self.client[0] if self.client else ""
        self.addresses[address] -= 1
        if not self.addresses[address]:
            del self.addresses[address]
        self._stop_head_timer()
        self._stop_watching()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self.pipeline.clear()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps a connection whose client has sent all and still reads, until it has its answer.

        A client that has gone looks the same, but answers what it is sent with a reset. So the
        first bytes of the answer, which are always the same, are sent at once, in two parts: the
        second one fails where nobody reads.
        """
        current = self._current
        if current is None or current.more_body or current.response_started:
            return False
        current.keep_alive = False
        if not self.pipeline:
            transport = self._gentle
            transport.write_early(_PREFIX[:1])
            self.loop.call_later(_PROBE_S, transport.write_early, _PREFIX[1:], _PREFIX[:1])
        return True

    # --- bytes in ---------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parses what has come, a head never further than it may reach."""
        if self.lingers or self._refusal:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self._unread += data
        self._read()

    def _read(self) -> None:
        """Parses what is unread, and reads no more while many requests wait for their turn."""
        try:
            while self._unread and not self._refusal and len(self.pipeline) < _AHEAD:
                self._unread = self._feed(self._unread)
        except httptools.HttpParserError as error:
            known = isinstance(error.__context__, _Refused)
            self._refuse(self._refusal if known else None)
        if self._refusal:
            self._unread = b""
        elif self._unread:
            self.flow.pause_reading()

    def _feed(self, data: bytes) -> bytes:
        """Parses a part of `data`; returns the rest."""
        most = _SLICE
        if not self._in_body:
            most = min(most, self.bounds.max_head_bytes + 1 - self._head_bytes)
        part, rest = data[:most], data[most:]
        counted, ended = self._head_bytes, self._ended
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade as upgrade:
            (end,) = upgrade.args
            self._ignore_upgrade()
            return part[end:] + rest
        got = self._join_body()
        if self._ended > ended:
            if not self._head_bytes:
                return rest  # as usual, a whole request
        elif not self._in_body:
            # A head that goes on, or something else than a head, such as line ends without end.
            self._head_bytes = counted + len(part)
        elif got < len(part):
            # What frames the chunks of a body, or follows them: a few bytes for each of the body's.
            self._framing += len(part) - (1 + _FRAMING_PART) * got
            if self._framing > self.bounds.max_head_bytes:
                self._refuse(HeadTooLarge(_TOO_LARGE))
        if self._head_bytes > self.bounds.max_head_bytes:
            self._refuse(HeadTooLarge(_TOO_LARGE))
        elif self._head_bytes and self._head_timer is None:
            late = RequestTimeout("The head of the request did not arrive in time.")
            self._head_timer = self.loop.call_later(self.bounds.head_timeout_s, self._refuse, late)
        return rest

    def _ignore_upgrade(self) -> None:
        """Goes on as if the request had asked for none, as a server may: RFC 9110, 7.8.

        The parser takes what follows the head for another protocol, and the request for ended. A
        new one is told of the same body, so that no byte of it is ever read as a request.
        """
        head = self.scope["headers"]
        fields = [name + b": " + value for name, value in head if name in _FRAMING]
        if not self.cycle.keep_alive:
            fields.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._resuming = True
        self.parser.feed_data(b"\r\n".join([b"POST / HTTP/1.1", *fields, b"", b""]))

    # --- the parser's events ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Notes when the first byte of a request came, from which its deadline counts."""
        if self._resuming:
            return
        super().on_message_begin()
        self._head_bytes = 1  # at least
        self.scope[FIRST_BYTE] = time.monotonic()  # type: ignore[typeddict-unknown-key]

    def on_url(self, url: bytes) -> None:
        """Takes a part of the path and query."""
        if self._resuming:
            return
        super().on_url(url)
        if len(self.url) > self.bounds.max_url_bytes:
            self._stop(UrlTooLong("The URL is longer than is accepted; send inputs in the body."))

    def on_headers_complete(self) -> None:
        """Begins a request, or refuses it by its head."""
        if self._resuming:
            self._resuming = False
            return
        self._in_body, self._head_bytes, self._framing = True, 0, 0
        self._stop_head_timer()
        if problem := self._head_problem():
            self._stop(problem)
        super().on_headers_complete()
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            # Uvicorn keeps none. This client asked for it, and is told of it (RFC 9112, C.2.2).
            self.cycle.keep_alive = True
            self.scope[KEPT] = True  # type: ignore[typeddict-unknown-key]
        self.headers = []  # for what follows a body in chunks, which is no part of the head

    def on_message_complete(self) -> None:
        """Ends a request's body."""
        self._join_body()
        # One that asks for an upgrade ends only when its body has: see `_ignore_upgrade`.
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]
            self._in_body = False
            self._ended += 1

    def _join_body(self) -> int:
        """Hands on what came of a body in one go: each part by itself would copy all before it.

        Returns how many bytes that was.
        """
        if not self._parts:
            return 0
        whole = b"".join(self._parts)
        self._parts.clear()
        super().on_body(whole)
        return len(whole)

    def _head_problem(self) -> ClozeError | None:
        if self.parser.get_method() == b"CONNECT":
            return MethodNotAllowed("This server is no proxy.")
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])
        if len(self.headers) > self.bounds.max_head_fields or size > self.bounds.max_head_bytes:
            return HeadTooLarge(_TOO_LARGE)
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            return InvalidHttp("The request should have one Host field.")
        if b"transfer-encoding" in names:
            codings = [value for name, value in self.headers if name == b"transfer-encoding"]
            if [coding.strip().lower() for coding in codings] != [b"chunked"]:
                return UnknownTransferCoding("The only transfer coding known here is chunked.")
        crowded = len(self.connections) > self.bounds.max_connections
        if crowded and not is_probe(self.url.decode("latin-1")):
            return Overloaded("Too many connections are open; try again.", retry_after_s=1)
        return None

    def _stop(self, error: ClozeError) -> None:
        self._refusal = error
        raise _Refused

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, error: ClozeError | None = None) -> None:
        """Answers the request at hand with an error, after those before it, and reads no more."""
        error = error or InvalidHttp("The request is not HTTP/1.1, or is framed in two ways.")
        self._refusal = error
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        current = self._current
        if self._in_body and current is not None and not current.response_complete:
            # It is wrong in its body, which the application is reading, or will.
            current.scope[REFUSAL] = error  # type: ignore[typeddict-unknown-key]
            current.keep_alive = False
            current.message_event.set()
            return
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1", "method": "GET", "query_string": b"",
            "path": self.url.decode("latin-1"), "raw_path": b"",  # for the error's shape, no more
            "headers": [], "root_path": self.root_path, "scheme": self.scheme,
            "server": self.server, "client": self.client, "state": {}, REFUSAL: error,
        }  # fmt: skip
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        if current is None or current.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def on_response_complete(self) -> None:
        """Goes on with the next request, and reads those after it."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self._gentle.written - self._asked_at >= _WORTH_A_LOOK:
            self.watch_reader()
        if self._unread:
            self._unset_keepalive_if_required()
            self._read()

    # --- the end ----------------------------------------------------------------------------------

    def shutdown(self) -> None:
        """Closes the connection, when the server ends, once its client seems to want no more of it.

        A request may be on its way. It is answered, with the word that it is the last one.
        """
        self.timeout_keep_alive = _QUIET_S  # type: ignore[assignment]  # a time like any other
        if self.timeout_keep_alive_task is not None:
            self._wait_for_request()

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection, but not before what has already come is read."""
        if not self.transport.is_closing() and is_readable(self._gentle.fileno()):
            self._wait_for_request()
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_request(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def linger(self) -> bool:
        """Whether the client may still be sending: closing would take the answer from it."""
        current = self._current
        sending = self._refusal or (current is not None and current.more_body)
        if self.lingers or not sending:
            return False
        self.lingers = True
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.transport.abort)
        return True

    def pause_writing(self) -> None:
        """Begins to look whether the client reads what it is sent."""
        super().pause_writing()
        self.watch_reader()

    def watch_reader(self) -> None:
        """Ends the connection unless what was written is read, fast enough.

        What the kernel holds counts too, megabytes for each client; a few kilobytes do not.
        """
        transport, least = self._gentle, self.bounds.min_bytes_per_s * _LOOK_S
        if self._reader_timer is not None:
            return
        self._asked_at = transport.written
        if transport.get_write_buffer_size() or transport.waiting >= least:
            place = (transport.written, transport.waiting)
            self._reader_timer = self.loop.call_later(_LOOK_S, self._look, *place)

    def _look(self, written: int, waiting: int) -> None:
        """Looks how much of what was `written` by then, and still waited, has been read since."""
        self._reader_timer = None
        transport = self._gentle
        left = written - (transport.written - transport.waiting)
        if left > 0 and waiting - left < self.bounds.min_bytes_per_s * _LOOK_S:
            transport.reset()
        else:
            self.watch_reader()

    @property
    def _current(self) -> RequestResponseCycle | None:
        """The latest request, once there was one."""
        return self.cycle

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_watching(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


def bounded(bounds: Connections) -> type[HttpProtocol]:
    """The protocol with these bounds."""
    most = bounds.max_connections or _files() - _OTHER_FILES
    own = bounds.model_copy(update={"max_connections": max(1, most)})
    return type("BoundedHttpProtocol", (HttpProtocol,), {"bounds": own, "addresses": Counter()})


def _files() -> int:
    """How many files the process may open; it may then open them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        soft = min(hard, _MOST_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class _GentleTransport:
    """A transport that is closed only when its client can have read what was written.

    A socket that is closed with unread bytes in it resets the connection, and the client loses the
    answer: RFC 9112, 9.6.
    """

    __slots__ = ("_early", "_protocol", "_transport", "written")

    def __init__(self, transport: asyncio.Transport, protocol: HttpProtocol) -> None:
        self._transport = transport
        # A circle of the two would be left to the garbage collector, which would keep some of
        # them for good: 3 bytes for each connection there ever was.
        self._protocol = weakref.proxy(protocol)
        self._early = b""
        self.written = 0
        """Bytes, over all answers."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def waiting(self) -> int:
        """Bytes written that the client has not taken yet; those in the kernel's hands are too."""
        held = bytearray(4)
        with suppress(OSError):  # where a system does not tell, a large answer waits here too
            fcntl.ioctl(self.fileno(), termios.TIOCOUTQ, held)
        return self._transport.get_write_buffer_size() + int.from_bytes(held, sys.byteorder)

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return int(self._transport.get_extra_info("socket").fileno())

    def write_early(self, part: bytes, after: bytes = b"") -> None:
        """Writes first bytes of the answer that is still to come, if so many are written."""
        if self._early == after and not self._transport.is_closing():
            self._early += part
            self.written += len(part)
            self._transport.write(part)

    def write(self, data: bytes) -> None:
        """Writes, without what was written early; to nobody, once the connection has ended."""
        if self._transport.is_closing():
            return  # as asyncio's own do; uvloop's raise
        if self._early:
            data, self._early = data.removeprefix(self._early), b""
        self.written += len(data)
        self._transport.write(data)

    def reset(self) -> None:
        """Ends the connection, and what the kernel still holds for it."""
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether nothing more is to be written."""
        return self._protocol.lingers or self._transport.is_closing()

    def close(self) -> None:
        """Closes at once, or when the client has stopped sending, or has had the time to."""
        if self._transport.is_closing():
            return  # a connection that is lost is closed once more
        if self._protocol.linger():
            if self._transport.can_write_eof():
                self._transport.write_eof()
        else:
            self._protocol.watch_reader()
            self._transport.close()
