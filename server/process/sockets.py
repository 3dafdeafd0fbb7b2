"""Host and port in, bound or listening sockets out, for one process or for each of several.

On Linux every process of a group listens on a socket of its own (SO_REUSEPORT), among which the
kernel deals out connections evenly. Elsewhere that option is missing or hands all connections to
one process, so there the group shares one socket: the first process to wake takes most of a burst.
"""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BACKLOG: Final = 2048  # connections that wait to be accepted

DEALS_OUT: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")


_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # with any other address too


class CannotListen(OSError):
    """The address cannot be had; the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket on an address that nobody else listens on.

    Raises:
        CannotListen: why, in a sentence.
    """
    with _explained(host, port):
        family, address = _resolved(host, port)
        return socket.create_server(address, family=family, backlog=BACKLOG)


def reserve(host: str, port: int) -> socket.socket:
    """Returns what keeps an address for a group of processes, each of which calls `for_process`.

    Raises:
        CannotListen: why, in a sentence.
    """
    listener = listen(host, port)
    if not DEALS_OUT:
        return listener
    # A port that is shared on purpose would also be shared with another server of this user, so
    # that it was tried without sharing first.
    with listener:
        port = listener.getsockname()[1]
    return _shareable(host, port)


def for_process(host: str, reserved: socket.socket) -> socket.socket:
    """Returns the socket on which one process of a group may listen; it need not listen yet.

    Raises:
        CannotListen: why, in a sentence.
    """
    return _shareable(host, reserved.getsockname()[1]) if DEALS_OUT else reserved.dup()


def _shareable(host: str, port: int) -> socket.socket:
    """Binds a socket that may share its address with others of this user."""
    with _explained(host, port):
        family, address = _resolved(host, port)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        return made


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError:
        raise OSError(errno.EINVAL, "not a host name") from None
    return found[0], (str(found[4][0]), int(found[4][1]))


@contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    """Turns an error of the operating system into the sentence that a person needs."""
    try:
        yield
    except OSError as error:
        advice = "" if error.errno in _EXHAUSTED else "; choose another with --host and --port"
        raise CannotListen(
            f"cannot listen on {host} port {port}: {error.strerror or error}{advice}"
        ) from error
