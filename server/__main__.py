"""`python -m server`: settings in, a listening server out, until a signal ends it.

Exit codes: 0 after a drain, 1 when the address cannot be listened on, 2 for a mistake in the
settings or a device that is not there, 3 when a model folder is refused.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

from server.inference.runtime.cores import available_cores
from server.logs import set_up_logging
from server.process.shared_memory import Member
from server.process.supervisor import BACKLOG, Supervisor, bound, processes_for
from server.settings import Settings, read_settings, refuse

logger = logging.getLogger("cloze")

EXIT_CANNOT_LISTEN: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Serves until told to stop; returns the exit code."""
    settings = read_settings(arguments)
    if settings.processes == 0:
        settings = settings.model_copy(update={"processes": processes_for(available_cores())})
    if settings.device == "cuda" and settings.processes == 1:
        _require_cuda()
    set_up_logging(settings.log_level, settings.log_format)
    try:
        listener = _listen(settings)
    except OSError as error:
        logger.error(  # noqa: TRY400 (a person's mistake, not a crash: no trace)
            "cannot listen on %s port %d: %s; choose another with --host and --port",
            settings.host,
            settings.port,
            error.strerror,
        )
        return EXIT_CANNOT_LISTEN
    if settings.processes == 1:
        logger.info("listening", extra={"host": settings.host, "port": listener.getsockname()[1]})
        exit_code = _serve(settings, listener)
    else:
        exit_code = Supervisor(settings, listener, _serve).run()
    logger.info("stopped", extra={"exit_code": exit_code})
    return exit_code


def _require_cuda() -> None:
    """Refuses a GPU that this onnxruntime knows nothing of before anything is opened."""
    from server.inference.runtime.devices import (  # noqa: PLC0415 (not for a supervisor, see `_serve`)
        DeviceError,
        choose_device,
        offered,
    )

    try:
        choose_device("cuda", offered())
    except DeviceError as error:
        refuse([f"--device (CLOZE_DEVICE): {error}"])


def _listen(settings: Settings) -> socket.socket:
    """Listens; for several processes it only reserves a port on which nobody else listens."""
    family, _, _, _, address = socket.getaddrinfo(
        settings.host, settings.port, type=socket.SOCK_STREAM
    )[0]
    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    if settings.processes == 1:
        return listener
    # A port that is shared on purpose would also be shared with another server of this user.
    with listener:
        port = listener.getsockname()[1]
    return bound(settings.host, port)


def _serve(settings: Settings, listener: socket.socket, member: Member | None = None) -> int:
    # A supervisor must not load what starts threads, and stays small without the rest.
    from server.process.serving import serve  # noqa: PLC0415

    return serve(settings, listener, member)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    # A batch that is stuck in native code would keep the interpreter from ending.
    os._exit(code)
