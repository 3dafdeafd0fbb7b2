"""`python -m server`: settings in, a listening server out, until a signal ends it.

Exit codes: 0 after a drain, 1 when the address cannot be listened on, 2 for a mistake in the
settings or a device that is not there, 3 when a model folder is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

import onnxruntime as ort
import uvicorn
from starlette.types import ASGIApp

from server.app import Refusal, create_app
from server.inference.devices import DeviceError, choose_device
from server.logs import set_up_logging
from server.protocol import OneWriteProtocol
from server.registry import Phase, Registry
from server.settings import EXIT_BAD_SETTINGS, Settings, read_settings, refuse

logger = logging.getLogger("cloze")

EXIT_CANNOT_LISTEN: Final = 1
EXIT_MODEL_REFUSED: Final = 3

# A worker that comes back from the session waits for the interpreter's lock at most so long; the
# default of 5 ms would leave its core idle for a good part of a batch's time.
_SWITCH_S: Final = 0.0005
_BACKLOG: Final = 2048  # connections that wait to be accepted
_KEEP_ALIVE_S: Final = 75  # longer than the 60 s after which proxies drop their idle connections


class Server(uvicorn.Server):
    """Uvicorn with a drain: after SIGTERM it goes on serving for a while before it closes.

    Balancers need that time to notice that `/readyz` fails and to send requests elsewhere. SIGINT,
    a person's, and a second SIGTERM close at once. Admitted work is finished in either case.
    """

    def __init__(self, config: uvicorn.Config, registry: Registry, drain_delay_s: float) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._registry = registry
        self._drain_delay_s = drain_delay_s

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """Takes a signal; unlike uvicorn's own, it does not raise it again after the end."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        elif sig == signal.SIGINT or self._registry.phase is Phase.DRAINING:
            self._registry.phase = Phase.DRAINING
            self.should_exit = True
        else:
            self._registry.phase = Phase.DRAINING
            asyncio.get_running_loop().call_soon_threadsafe(self._close_later)

    def _close_later(self) -> None:
        logger.info("draining", extra={"seconds": self._drain_delay_s})
        asyncio.get_running_loop().call_later(self._drain_delay_s, self.close)

    def close(self) -> None:
        """Stops accepting connections and ends once the admitted work is done."""
        self.should_exit = True

    def refuse(self, error: Refusal) -> None:
        """Ends because a model folder cannot be served, or not on the device asked for."""
        if isinstance(error, DeviceError):
            logger.error("--device: %s", error)
            self.exit_code = EXIT_BAD_SETTINGS
        else:
            logger.error("model refused: %s", error)
            self.exit_code = EXIT_MODEL_REFUSED
        self.close()


def main(arguments: Sequence[str]) -> int:
    """Serves until told to stop; returns the exit code."""
    settings = read_settings(arguments)
    _require_device(settings)
    sys.setswitchinterval(_SWITCH_S)
    set_up_logging(settings.log_level, settings.log_format)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        logger.error(  # noqa: TRY400 (a person's mistake, not a crash: no trace)
            "cannot listen on %s port %d: %s; choose another with --host and --port",
            settings.host,
            settings.port,
            error.strerror,
        )
        return EXIT_CANNOT_LISTEN
    server = _server(settings)
    logger.info("listening", extra={"host": settings.host, "port": listener.getsockname()[1]})
    server.run(sockets=[listener])
    logger.info("stopped", extra={"exit_code": server.exit_code})
    return server.exit_code


def _require_device(settings: Settings) -> None:
    """Refuses a GPU that this onnxruntime knows nothing of before anything is opened."""
    try:
        choose_device(settings.device, ort.get_available_providers())
    except DeviceError as error:
        refuse([f"--device (CLOZE_DEVICE): {error}"])


def _server(settings: Settings) -> Server:
    def end(error: Refusal) -> None:
        server.refuse(error)

    app, registry = create_app(settings, on_refused=end)
    server = Server(_config(app, settings), registry, settings.drain_delay_s)
    return server


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=OneWriteProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        # Tasks that outlive this are cancelled and answered with 503.
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    # A batch that is stuck in native code would keep the interpreter from ending.
    os._exit(code)
