"""Settings and a listening socket in, requests served until a signal ends it, an exit code out."""

import asyncio
import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from server.errors import ExitCode
from server.http.app import create_app
from server.http.context import Service
from server.inference.model_registry import Phase
from server.inference.offload import SWITCH_S
from server.inference.runtime.cores import share_cores
from server.process.background import BackgroundTasks
from server.process.lifecycle import Lifecycle
from server.process.protocol import bounded
from server.process.reception import Reception
from server.process.shared_memory import ProcessGroupMember
from server.process.sockets import BACKLOG, is_readable, stop_new_connections
from server.settings import Settings
from server.tracing import Tracer

logger = logging.getLogger("cloze")

_HANDSHAKE_S: Final = 0.5  # in which a client completes a connection, wherever it is
_LISTENS: Final = socket.SO_ACCEPTCONN
_LOOK_S: Final = 0.01
_MOST_LOOKS: Final = 200  # at whether all that wait are accepted


class Server(uvicorn.Server):
    """Uvicorn with a drain: after SIGTERM it goes on serving for a while before it closes.

    Balancers need that time to notice that `/readyz` fails and to send requests elsewhere. SIGINT,
    a person's, and a second SIGTERM close at once. In either case every connection that the kernel
    has accepted is served, and admitted work is finished.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        service: Service,
    ) -> None:
        super().__init__(config)
        self.exit_code = ExitCode.DRAINED
        self.listeners = [listener]
        self._listener = listener
        self._service = service
        self._registry = service.registry
        self._drain_delay_s = service.settings.drain_delay_s
        self._member = service.member

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to obey the control pipe, or signals where there is none, and to listen."""
        loop = asyncio.get_running_loop()
        if self._member is not None:
            loop.add_reader(self._member.control, self._obey, self._member.control)
        else:
            if self._service.keys.ring is not None:
                loop.add_signal_handler(signal.SIGHUP, self._service.keys.reload)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        self._service.background.watch_threads()
        await super().startup(sockets)
        if self._listener.fileno() < 0:  # uvloop closes it, and keeps the reason to itself
            logger.error("cannot listen on the address of this process")
            self.end(ExitCode.FAILED)

    def _obey(self, control: int) -> None:
        signals = os.read(control, 16)
        if not signals:
            logger.warning("the supervisor is gone")
            asyncio.get_running_loop().remove_reader(control)
        for number in signals or [signal.SIGTERM]:
            self.handle_exit(number, None)

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """Takes a signal; unlike uvicorn's own, it does not raise it again after the end."""
        if sig == signal.SIGHUP:
            self._service.keys.reload()
        elif self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        elif sig == signal.SIGINT or self._registry.phase is Phase.DRAINING:
            self._registry.phase = Phase.DRAINING
            self.end(self.exit_code)
        else:
            self._registry.phase = Phase.DRAINING
            asyncio.get_running_loop().call_soon_threadsafe(self._close_later)

    def _close_later(self) -> None:
        delay_s = self._drain_delay_s if self.started else 0.0
        logger.info("draining", extra={"seconds": delay_s})
        asyncio.get_running_loop().call_later(delay_s, lambda: self.end(self.exit_code))

    def end(self, code: ExitCode) -> None:
        """Stops accepting connections and ends, with `code`, once the admitted work is done."""
        self.exit_code = code
        self.should_exit = True
        if not self.started and not self._listener.getsockopt(socket.SOL_SOCKET, _LISTENS):
            self.listeners.clear()  # nobody waits in it, and nobody will

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes the listener, then the connections, none of which still has something to say."""
        self._registry.phase = Phase.DRAINING
        if self.listeners and self._listener.fileno() >= 0:
            await self._accept_the_last()
        await super().shutdown(sockets)

    async def _accept_the_last(self) -> None:
        stop_new_connections(self._listener)
        await asyncio.sleep(_HANDSHAKE_S)
        for _ in range(_MOST_LOOKS):
            if not is_readable(self._listener.fileno()):
                break
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(_LOOK_S)  # what is accepted last becomes a connection of the loop

    def make_room(self) -> None:
        """Drains, if it is one process of several, so that the supervisor starts a healthy one."""
        if self._member is not None:
            self.exit_code = ExitCode.FAILED
            if self._registry.phase is not Phase.DRAINING:
                self.handle_exit(signal.SIGTERM, None)


def serve(
    settings: Settings, listener: socket.socket, member: ProcessGroupMember | None = None
) -> int:
    """Serves until told to stop; returns the exit code.

    Args:
        settings: all options.
        listener: bound; it need not listen yet.
        member: of a process that is one of several.
    """
    sys.setswitchinterval(SWITCH_S)
    share_cores(settings.processes)
    server = _server(settings, listener, member)
    server.run(sockets=server.listeners)
    return server.exit_code


def _server(
    settings: Settings, listener: socket.socket, member: ProcessGroupMember | None
) -> Server:
    background = BackgroundTasks(lambda _task: server.make_room())
    service = Service.of(settings, member, background, _tracer(settings))
    reception = None
    if settings.is_read_by_a_person and (member is None or member.rank == 0):
        reception = Reception(sys.stderr, settings.host, listener.getsockname()[1])
    lifecycle = Lifecycle(
        service,
        lambda code: server.end(code),  # noqa: PLW0108 (made below)
        reception,
    )
    app = create_app(service, lifecycle.lifespan)
    server = Server(_config(app, settings), listener, service)
    return server


def _tracer(settings: Settings) -> Tracer | None:
    if settings.trace_endpoint is None:
        return None
    from server.process.otel import OtelTracer  # noqa: PLC0415 (installed where it is wanted)

    return OtelTracer(settings.trace_endpoint, settings.trace_share)


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=bounded(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        root_path=settings.root_path,
        timeout_keep_alive=settings.idle_timeout_s,
        # Tasks that outlive this are cancelled and answered with 503.
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
