"""uvicorn's HTTP protocol, and the moment at which a request's first byte came."""

import time

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.http.context import FIRST_BYTE


class HttpProtocol(HttpToolsProtocol):
    """What a connection does beyond uvicorn's own."""

    def on_message_begin(self) -> None:
        """Notes when the first byte of a request came, from which its deadline counts."""
        super().on_message_begin()
        self.scope[FIRST_BYTE] = time.monotonic()  # type: ignore[typeddict-unknown-key]
