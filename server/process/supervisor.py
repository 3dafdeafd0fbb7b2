"""Settings for several processes in, all of them kept running, one exit code out.

The supervisor reserves the port, forks a process for each rank and only waits: for signals, which
it passes on, and for processes that end, which it replaces. It loads no model and runs no thread,
which is what makes forking safe. If it is killed, the others notice that their control pipe ended
and drain.
"""

import logging
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from server.errors import ExitCode
from server.process.shared_memory import ProcessGroupMember, SharedStatistics
from server.process.sockets import BACKLOG, BOUND, CannotListen, for_process
from server.settings import Settings

logger = logging.getLogger("cloze")

Serve = Callable[[Settings, socket.socket, ProcessGroupMember], int]
"""Serves on a socket until told to stop, as one process of several; returns its exit code."""

CORES_PER_PROCESS: Final = 6  # whose work on short int8 texts one interpreter's lock lets through

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # before a process that ended is replaced
_MOST_DOUBLINGS: Final = 6  # of the first pause; the longest one is reached by then
_SETTLED_S: Final = 60.0  # one that ran for so long is replaced after the first pause again
_AT_ONCE_S: Final = 1e-6  # the shortest that a timer can be set to; 0 would stop it


def processes_for(cores: int) -> int:
    """Returns how many processes keep so many cores busy.

    >>> [processes_for(cores) for cores in (1, 6, 9, 16, 64)]
    [1, 1, 2, 3, 11]
    """
    return max(1, (cores + CORES_PER_PROCESS // 2) // CORES_PER_PROCESS)


@dataclass(frozen=True)
class _Process:
    """One that runs."""

    rank: int
    control: int
    """Descriptor to which signals for it are written, a byte each."""
    since: float
    """`time.monotonic()` seconds."""


class Supervisor:
    """Keeps `settings.processes` processes serving."""

    def __init__(self, settings: Settings, reserved: socket.socket, serve: Serve) -> None:
        self._settings = settings
        self._serve = serve
        self._reserved = reserved
        self._shared = SharedStatistics(settings.processes)
        self._awaited = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGALRM}
        if settings.api_key_file is not None:
            self._awaited.add(signal.SIGHUP)
        self._running: dict[int, _Process] = {}
        self._due: dict[int, float] = {}
        self._quick_ends: Counter[int] = Counter()
        self._stopping = self._has_served = False
        self._exit_code: int = ExitCode.DRAINED

    def run(self) -> int:
        """Returns when all processes have ended: with 0 after a drain, else with their code."""
        # Signals are waited for, not handled: none can come at a bad moment. The processes inherit
        # this and so obey their control pipe alone, however many of them a terminal or an init
        # system signals besides.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._awaited)
        # macOS drops a signal of a child, blocked or not, unless somebody would handle it.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            for rank in range(self._shared.size):
                self._start(rank, is_replacement=False)
        except OSError as error:
            _log_failed_start(error)
            self._give_up(ExitCode.FAILED)
        else:
            host, port = self._settings.host, self._reserved.getsockname()[1]
            fields = {"host": host, "port": port, "processes": self._shared.size}
            logger.info(BOUND[self._settings.while_loading], extra=fields)
        while self._running or self._due:
            self._wait()
            self._bury()
            self._replace()
        return self._exit_code

    def _wait(self) -> None:
        """Returns after a signal; when the next replacement is due, that of a timer."""
        due = min(self._due.values(), default=None)
        pause = 0.0 if due is None else max(_AT_ONCE_S, due - time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, pause)
        received = signal.sigwait(self._awaited)
        if received in {signal.SIGTERM, signal.SIGINT}:
            self._stop(received)
        elif received == signal.SIGHUP:
            self._pass_on(received)

    def _stop(self, signal_number: int) -> None:
        self._stopping = True
        self._due.clear()
        self._pass_on(signal_number)

    def _pass_on(self, signal_number: int) -> None:
        for process in self._running.values():
            with suppress(BrokenPipeError):  # it has just ended
                os.write(process.control, bytes([signal_number]))

    def _give_up(self, code: int) -> None:
        self._exit_code = code
        self._stop(signal.SIGTERM)
        self._stop(signal.SIGTERM)  # the second one waits for no balancer

    def _bury(self) -> None:
        """Takes note of all processes that have ended, as process 1 also of others' orphans."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                process = self._running.pop(ended[0], None)
                if process is not None:
                    self._ended(process, os.waitstatus_to_exitcode(ended[1]))

    def _ended(self, process: _Process, code: int) -> None:
        """Decides what follows from an end; `code` is negative for the signal that caused it."""
        os.close(process.control)
        was_ready = self._shared.is_ready(process.rank)
        self._shared.set_ready(process.rank, ready=False)
        serving = was_ready or any(map(self._shared.is_ready, range(self._shared.size)))
        self._has_served |= serving
        if self._stopping:
            self._exit_code = self._exit_code or (code if code >= 0 else ExitCode.FAILED)
        elif serving or (code < 0 and self._has_served):  # one may be killed while it loads
            if time.monotonic() - process.since > _SETTLED_S:
                self._quick_ends[process.rank] = 0
            logger.error(
                "a process ended and will be replaced",
                extra={
                    "rank": process.rank,
                    "exit_code": code,
                    "pause_s": self._plan_replacement(process.rank),
                },
            )
        else:
            # It could not start, and nobody serves: trying again would only hide why.
            self._give_up(code if code > 0 else ExitCode.FAILED)

    def _plan_replacement(self, rank: int) -> float:
        """Returns after how many seconds it will be tried."""
        doublings = min(_MOST_DOUBLINGS, self._quick_ends[rank])
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * (1 << doublings))
        self._quick_ends[rank] += 1
        self._due[rank] = time.monotonic() + pause
        return pause

    def _replace(self) -> None:
        now = time.monotonic()
        for rank in [rank for rank, due in self._due.items() if due <= now]:
            del self._due[rank]
            try:
                self._start(rank, is_replacement=True)
            except OSError as error:  # no more processes or descriptors, for now
                _log_failed_start(error, rank=rank, pause_s=self._plan_replacement(rank))

    def _start(self, rank: int, *, is_replacement: bool) -> None:
        theirs, ours = os.pipe()
        try:
            with for_process(self._settings.host, self._reserved) as listener:
                if not is_replacement and self._settings.while_loading == "answer":
                    listener.listen(BACKLOG)  # connections wait while the process starts
                pid = os.fork()
                if pid == 0:
                    self._leave_to_supervisor(ours)
                    member = ProcessGroupMember(rank, self._shared, theirs, is_replacement)
                    self._become(listener, member)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._running[pid] = _Process(rank, ours, time.monotonic())

    def _leave_to_supervisor(self, own_control: int) -> None:
        """Closes, in a new process, what must end with the supervisor alone."""
        for control in (own_control, *(process.control for process in self._running.values())):
            os.close(control)
        self._reserved.close()

    def _become(self, listener: socket.socket, member: ProcessGroupMember) -> NoReturn:
        code: int = ExitCode.FAILED
        try:
            code = self._serve(self._settings, listener, member)
        except Exception:
            logger.exception("a process failed")
        finally:
            logging.shutdown()
            os._exit(code)


def _log_failed_start(error: OSError, **fields: object) -> None:
    told = isinstance(error, CannotListen)
    reason = str(error) if told else f"cannot start a process: {error.strerror}"
    logger.error(reason, extra=fields)
