"""Settings for several processes in, all of them kept running, one exit code out.

The supervisor reserves the port, forks a process for each place and only waits: for signals, which
it passes on, and for processes that end, which it replaces. It loads no model and runs no thread,
which is what makes forking safe. If it is killed, the others notice that their control pipe ended
and drain.

Every process listens on a socket of its own (SO_REUSEPORT), among which the kernel deals out
connections evenly. On one shared socket the first process to wake takes most of a burst.
"""

from __future__ import annotations

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

from server.process.shared_memory import Board, Member
from server.settings import Settings

logger = logging.getLogger("cloze")

Serve = Callable[[Settings, socket.socket, Member], int]
"""Serves on a socket until told to stop, as one process of several; returns its exit code."""

BACKLOG: Final = 2048  # connections that wait to be accepted

CORES_PER_PROCESS: Final = 6  # whose work on short int8 texts one interpreter's lock lets through

_AWAITED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0  # before a process that ended is replaced
_SETTLED_S: Final = 60.0  # one that ran for so long is replaced after the first pause again
_FOREVER_S: Final = 3600.0


def processes_for(cores: int) -> int:
    """Returns how many processes keep so many cores busy.

    >>> [processes_for(cores) for cores in (1, 6, 9, 16, 64)]
    [1, 1, 2, 3, 11]
    """
    return max(1, (cores + CORES_PER_PROCESS // 2) // CORES_PER_PROCESS)


@dataclass(frozen=True)
class _Process:
    """One that runs."""

    place: int
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
        self._port: int = reserved.getsockname()[1]
        self._board = Board(settings.processes)
        self._running: dict[int, _Process] = {}
        self._due: dict[int, float] = {}
        self._quick_ends: Counter[int] = Counter()
        self._stopping = False
        self._exit_code = 0

    def run(self) -> int:
        """Returns when all processes have ended: with 0 after a drain, else with their code."""
        # Signals are waited for, not handled: none can come at a bad moment. The processes inherit
        # this and so obey their control pipe alone, however many of them a terminal or an init
        # system signals besides.
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        for place in range(self._board.places):
            self._start(place, late=False)
        logger.info(
            "listening",
            extra={
                "host": self._settings.host,
                "port": self._port,
                "processes": self._settings.processes,
            },
        )
        while self._running or self._due:
            self._wait()
            self._bury()
            self._replace()
        return self._exit_code

    def _wait(self) -> None:
        pause = min(self._due.values(), default=time.monotonic() + _FOREVER_S) - time.monotonic()
        received = signal.sigtimedwait(_AWAITED, max(0.0, pause))
        if received is not None and received.si_signo != signal.SIGCHLD:
            self._stop(received.si_signo)

    def _stop(self, signal_number: int) -> None:
        self._stopping = True
        self._due.clear()
        for process in self._running.values():
            with suppress(BrokenPipeError):  # it has just ended
                os.write(process.control, bytes([signal_number]))

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
        was_ready = self._board.is_ready(process.place)
        self._board.set_ready(process.place, ready=False)
        if self._stopping:
            self._exit_code = self._exit_code or (code if code >= 0 else 1)
        elif was_ready or any(map(self._board.is_ready, range(self._board.places))):
            self._plan_replacement(process, code)
        else:
            # It could not start, and nobody serves: trying again would only hide why.
            self._exit_code = code if code > 0 else 1
            self._stop(signal.SIGTERM)
            self._stop(signal.SIGTERM)  # the second one waits for no balancer

    def _plan_replacement(self, process: _Process, code: int) -> None:
        place, now = process.place, time.monotonic()
        if now - process.since > _SETTLED_S:
            self._quick_ends[place] = 0
        pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** self._quick_ends[place])
        self._quick_ends[place] += 1
        self._due[place] = now + pause
        logger.error(
            "a process ended and will be replaced",
            extra={"place": place, "exit_code": code, "pause_s": pause},
        )

    def _replace(self) -> None:
        now = time.monotonic()
        for place in [place for place, due in self._due.items() if due <= now]:
            del self._due[place]
            try:
                self._start(place, late=True)
            except OSError as error:  # no more processes or descriptors, for now
                logger.error("cannot start a process: %s", error.strerror)  # noqa: TRY400
                self._due[place] = now + _LONGEST_PAUSE_S

    def _start(self, place: int, *, late: bool) -> None:
        theirs, ours = os.pipe()
        try:
            with bound(self._settings.host, self._port) as listener:
                if not late:
                    listener.listen(BACKLOG)  # connections wait while the process starts
                pid = os.fork()
                if pid == 0:
                    self._leave_to_supervisor(ours)
                    self._become(listener, Member(place, self._board, theirs, late))
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._running[pid] = _Process(place, ours, time.monotonic())

    def _leave_to_supervisor(self, own_control: int) -> None:
        """Closes, in a new process, what must end with the supervisor alone."""
        for control in (own_control, *(process.control for process in self._running.values())):
            os.close(control)
        self._reserved.close()

    def _become(self, listener: socket.socket, member: Member) -> NoReturn:
        code = 1
        try:
            code = self._serve(self._settings, listener, member)
        except Exception:
            logger.exception("a process failed")
        finally:
            logging.shutdown()
            os._exit(code)


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket that may share its address with others of this user; it does not listen yet.

    Raises:
        OSError: the address cannot be had.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(address[:2])
    return made
