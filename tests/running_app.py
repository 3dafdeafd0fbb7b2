"""An application in, a real uvicorn on a thread of this process out.

For applications that a test has added something to; `tests.running_server` starts whole servers.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from server.process.serving import _config
from server.settings import Settings
from tests.running_server import START_TIMEOUT_S, Served


@contextmanager
def serving(app: ASGIApp, **settings: Any) -> Iterator[Served]:
    """Serves `app` as `python -m server` would, until the block ends."""
    server = uvicorn.Server(_config(app, Settings(**settings)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        served = Served(port=listener.getsockname()[1])
        deadline = time.monotonic() + START_TIMEOUT_S
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            yield served
        finally:
            served.client.close()
            server.should_exit = True
            thread.join()
