"""`python -m server`: settings in, a listening server out, until a signal ends it.

`ExitCode` says how it may end.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from server.errors import ExitCode
from server.inference.runtime.cores import available_cores
from server.keys import KeyFile, KeyFileError
from server.logs import set_up_logging
from server.process.shared_memory import ProcessGroupMember
from server.process.sockets import BOUND, CannotListen, bind, listen, reserve
from server.process.supervisor import Supervisor, processes_for
from server.settings import Settings, read_settings, refuse

logger = logging.getLogger("cloze")

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main(arguments: Sequence[str]) -> int:
    """Serves until told to stop; returns the exit code."""
    if not hasattr(os, "fork"):
        refuse(["Cloze runs on Linux and macOS; on Windows use its container, or Linux in WSL"])
    settings = read_settings(arguments)
    if settings.processes == 0:
        settings = settings.model_copy(update={"processes": processes_for(available_cores())})
    if settings.device == "cuda" and settings.processes == 1:
        _require_cuda()
    _require_keys(settings)
    if settings.trace_endpoint is not None:
        _require_tracing()
    set_up_logging(*settings.log_style)
    alone = settings.processes == 1
    bound = listen if settings.while_loading == "answer" else bind
    try:
        listener = (bound if alone else reserve)(settings.host, settings.port)
    except CannotListen as error:
        logger.error(str(error))  # noqa: TRY400 (a person's mistake, not a crash: no trace)
        return ExitCode.FAILED
    if settings.api_key_file is None and settings.host not in _LOOPBACK:
        logger.warning("anybody who reaches this address may call; --api-key-file asks for keys")
    if alone:
        port = listener.getsockname()[1]
        logger.info(BOUND[settings.while_loading], extra={"host": settings.host, "port": port})
        # They wait until the server handles them; who is already connected gets an answer first.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        exit_code = _serve(settings, listener)
    else:
        exit_code = Supervisor(settings, listener, _serve).run()
    logger.info("stopped", extra={"exit_code": exit_code})
    return exit_code


def _require_keys(settings: Settings) -> None:
    """Refuses a file of keys that cannot be used, and warns of an address without any."""
    try:
        KeyFile(settings.api_key_file)
    except KeyFileError as error:
        refuse([f"--api-key-file (CLOZE_API_KEY_FILE): {error}"])


def _require_tracing() -> None:
    """Refuses to trace without what it takes, before anything is opened."""
    try:
        installed = find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        installed = False
    if not installed:
        option = "--trace-endpoint (CLOZE_TRACE_ENDPOINT)"
        refuse([f"{option}: OpenTelemetry is not installed; `make tracing` adds it"])


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


def _serve(
    settings: Settings, listener: socket.socket, member: ProcessGroupMember | None = None
) -> int:
    # A supervisor must not load what starts threads, and stays small without the rest.
    from server.process.serving import serve  # noqa: PLC0415

    return serve(settings, listener, member)


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    # A batch that is stuck in native code would keep the interpreter from ending.
    os._exit(code)
