"""Addresses that can be had, and a sentence for those that cannot."""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Callable

import pytest

from server.process import sockets
from server.process.sockets import (
    BACKLOG,
    CannotListen,
    bind,
    for_process,
    is_readable,
    listen,
    reserve,
    stop_new_connections,
)
from tests.server.test_main import finished

LISTENS_TWICE = """
import os, socket
from server.process.serving import serve
from server.settings import Settings

first, second = socket.socket(), socket.socket()
for each in (first, second):
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    each.bind(("127.0.0.1", first.getsockname()[1]))
first.listen()
os._exit(serve(Settings(), second))
"""


@pytest.fixture(params=[True, False], ids=["dealt out", "shared"])
def dealt_out(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the system deals connections out among sockets, or a group shares one."""
    if request.param and not sockets.DEALS_OUT:
        pytest.skip("this system does not deal connections out")
    if not request.param:
        monkeypatch.delattr(socket, "SO_REUSEPORT")
        monkeypatch.setattr(sockets, "DEALS_OUT", False)
    return bool(request.param)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_what_listens_is_connected_to(host: str) -> None:
    with listen(host, 0) as listener:
        socket.create_connection(listener.getsockname()[:2]).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_process_of_a_group_has_a_socket_on_the_same_port(host: str, dealt_out: bool) -> None:
    with (
        reserve(host, 0) as reserved,
        for_process(host, reserved) as one,
        for_process(host, reserved) as other,
    ):
        one.listen(BACKLOG)
        other.listen(BACKLOG)
        port = reserved.getsockname()[1]
        assert {each.getsockname()[1] for each in (one, other)} == {port}
        reserved.close()
        socket.create_connection((host, port)).close()


@pytest.mark.parametrize("take", [listen, reserve])
def test_an_address_in_use_is_refused_in_a_sentence(
    take: Callable[[str, int], socket.socket], dealt_out: bool
) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen) as refused:
            take("127.0.0.1", port)
    sentence = str(refused.value)
    assert sentence.startswith(f"cannot listen on 127.0.0.1 port {port}: Address already in use")
    assert sentence.endswith("; choose another with --host and --port")


def test_a_second_group_is_refused_too(dealt_out: bool) -> None:
    with reserve("127.0.0.1", 0) as reserved, for_process("127.0.0.1", reserved) as one:
        one.listen(BACKLOG)
        with pytest.raises(CannotListen, match="Address already in use"):
            reserve("127.0.0.1", reserved.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("a..b", "not a host name"),
        ("nowhere.invalid", "not known|resolution"),
        ("192.0.2.1", "assign"),
    ],
)
def test_a_host_that_is_not_this_one_is_refused_in_a_sentence(host: str, reason: str) -> None:
    with pytest.raises(CannotListen, match=f"cannot listen on {host} port 8080: .*({reason})"):
        listen(host, 8080)


def test_a_socket_that_cannot_listen_ends_a_process_with_1_and_a_sentence() -> None:
    done = finished([sys.executable, "-c", LISTENS_TWICE])
    assert done.returncode == 1
    assert "cannot listen on the address of this process" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told")
def test_who_waits_is_accepted_and_who_comes_then_is_refused_by_the_closed_port() -> None:
    with listen("127.0.0.1", 0) as listener, socket.socket() as late:
        address = listener.getsockname()
        waiting = [socket.create_connection(address) for _ in range(3)]
        stop_new_connections(listener)
        late.setblocking(False)
        late.connect_ex(address)
        accepted = 0
        while is_readable(listener.fileno()):
            connection, _ = listener.accept()
            connection.sendall(b"served")
            connection.close()
            accepted += 1
        assert accepted == len(waiting)
        assert [each.recv(10) for each in waiting] == [b"served"] * len(waiting)
        listener.close()
        _, [ended], _ = select.select([], [late], [], 10)
        assert ended.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
        for each in waiting:
            each.close()


def test_a_bound_socket_refuses_until_it_listens() -> None:
    with bind("127.0.0.1", 0) as bound:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(bound.getsockname())
        bound.listen()
        socket.create_connection(bound.getsockname()).close()
