"""uvicorn's HTTP protocol, with the moment of a request's first byte, and deaf to upgrades."""

import time

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.http.context import FIRST_BYTE


class HttpProtocol(HttpToolsProtocol):
    """What a connection does beyond uvicorn's own."""

    _resuming = False

    def data_received(self, data: bytes) -> None:
        """Goes on as if no upgrade had been asked for, as a server may: RFC 9110, 7.8.

        The parser takes what follows such a head for another protocol, and the request for ended.
        A new one is told of the same body, so that no byte of it is ever read as a request.
        """
        self._unset_keepalive_if_required()
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                framing = (b"content-length", b"transfer-encoding")
                fields = [name + b": " + value for name, value in self.headers if name in framing]
                fields += [] if self.cycle.keep_alive else [b"connection: close"]
                self.parser, self._resuming = httptools.HttpRequestParser(self), True
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                told = b"\r\n".join([b"POST / HTTP/1.1", *fields, b"", b""])
                data = told + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                data = b""

    def on_message_begin(self) -> None:
        """Notes when the first byte of a request came, from which its deadline counts."""
        super().on_message_begin()
        self.scope[FIRST_BYTE] = time.monotonic()  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """Begins a request, unless it began before its parser was exchanged."""
        if not self._resuming:
            super().on_headers_complete()
        self._resuming = False

    def on_message_complete(self) -> None:
        """Ends a request's body; one that asks for an upgrade ends when its own body has."""
        if not self.parser.should_upgrade():
            super().on_message_complete()
