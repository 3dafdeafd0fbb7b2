"""Host and port in, bound or listening sockets out, for one process or for each of several.

On Linux every process of a group listens on a socket of its own (SO_REUSEPORT), among which the
kernel deals out connections evenly. Elsewhere that option is missing or hands all connections to
one process, so there the group shares one socket: the first process to wake takes most of a burst.

A listening socket that is closed resets the connections that wait in it to be accepted. So one
that ends first gets no more of them, and is closed when it is empty.
"""

import ctypes
import errno
import select
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

BACKLOG: Final = 2048  # connections that wait to be accepted

# What the log says once the address is had.
BOUND: Final = {"answer": "listening", "refuse": "bound; listens when the models are ready"}

DEALS_OUT: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")

_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # with any other address too

_SO_ATTACH_FILTER: Final = 26  # of Linux; Python has no name for it
# A program for the kernel that drops each packet that asks for a connection and passes all others:
# its instructions are an operation, two jumps and a number. Offset 0 is the start of TCP's header.
_DROP_SYN: Final = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of flags
        (0x45, 0, 1, 0x02),  # go on with the next instruction if SYN is set, else skip it
        (0x06, 0, 0, 0),  # keep 0 bytes
        (0x06, 0, 0, 0xFFFFFFFF),  # keep all
    )
)


class CannotListen(OSError):
    """The address cannot be had; the message says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket on an address that nobody else listens on.

    Raises:
        CannotListen: why, in a sentence.
    """
    made = bind(host, port)
    with _explained(host, port):
        made.listen(BACKLOG)
    return made


def reserve(host: str, port: int) -> socket.socket:
    """Returns what keeps an address for a group of processes, each of which calls `for_process`.

    Raises:
        CannotListen: why, in a sentence.
    """
    alone = bind(host, port)
    if not DEALS_OUT:
        return alone
    # A port that is shared on purpose would also be shared with another server of this user, so
    # that it was tried without sharing first.
    with alone:
        port = alone.getsockname()[1]
    return bind(host, port, shared=True)


def for_process(host: str, reserved: socket.socket) -> socket.socket:
    """Returns the socket on which one process of a group may listen; it need not listen yet.

    Raises:
        CannotListen: why, in a sentence.
    """
    if not DEALS_OUT:
        return reserved.dup()
    return bind(host, reserved.getsockname()[1], shared=True)


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Returns a socket on an address that nobody else listens on, which refuses all connections.

    Args:
        host: name or address.
        port: 0 for any free one.
        shared: whether other sockets of this user may be bound there too.

    Raises:
        CannotListen: why, in a sentence.
    """
    with _explained(host, port):
        family, address = _resolved(host, port)
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind(address)
        except OSError:
            made.close()
            raise
        return made


def stop_new_connections(listener: socket.socket) -> None:
    """Makes the kernel overlook who asks for a connection from now on.

    Those that are being made are completed, those that wait stay. Whoever is overlooked asks again
    a second later, as if the network had lost it, and is then refused by the closed port or meets
    the next server. Where the kernel cannot, nothing changes.
    """
    program = ctypes.create_string_buffer(_DROP_SYN, len(_DROP_SYN))
    described = struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
    if sys.platform == "linux":
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


def is_readable(descriptor: int) -> bool:
    """Whether bytes, or on a listening socket connections, wait to be taken."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


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
