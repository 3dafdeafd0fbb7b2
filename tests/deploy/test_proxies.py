"""A server behind a real nginx and HAProxy, attacked through them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.deploy.proxies import DEPLOY, haproxy, nginx
from tests.running_server import REPOSITORY, Served

logger = logging.getLogger(__name__)

UPGRADES = ("websocket", "h2c")
SMUGGLED = (
    b"POST /fill-mask HTTP/1.1\r\nhost: x\r\nx-request-id: smuggled\r\ncontent-length: 23\r\n\r\n"
    b'{"inputs": "a [MASK]."}'
)


@pytest.mark.parametrize("file", ["nginx.conf", "haproxy.cfg"])
def test_the_page_prints_the_configuration(file: str) -> None:
    assert (DEPLOY / file).read_text() in (REPOSITORY / "docs" / "deploy.md").read_text()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def exposed(
    request: pytest.FixtureRequest,
    serve: Serve,
    default_model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """One server behind a proxy that passes upgrades on and keeps its connections."""
    folder = tmp_path_factory.mktemp("proxy")
    server = serve(default_model)
    ports = [server.port, server.port]
    started = (
        haproxy(folder, ports)
        if request.param == "haproxy"
        else nginx(folder, ports, websocket=True)
    )
    with started as proxy:
        yield proxy


def attack(proxy: Served, size: int, upgrade: str) -> bytes:
    """Sends a request whose body would be read as another one, if the first one had none."""
    # A parser skips line ends before a request, wherever among them it begins to read.
    body = b"\r\n" * (size // 2) + SMUGGLED
    head = (
        f"POST /embed HTTP/1.1\r\nhost: x\r\nx-request-id: attacker\r\nconnection: upgrade\r\n"
        f"upgrade: {upgrade}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with proxy.connect() as connection, suppress(ConnectionError):
        connection.settimeout(10)
        connection.sendall(head.encode() + body)
        return connection.recv(65_536)
    return b""


@pytest.mark.parametrize("size", [1_000, 100_000, 1_000_000])
def test_nobody_gets_an_answer_that_was_smuggled_in(exposed: Served, size: int) -> None:
    wrong, answered = [], 0
    with ThreadPoolExecutor(len(UPGRADES)) as attackers:
        for number in range(100):
            attempts = [attackers.submit(attack, exposed, size, upgrade) for upgrade in UPGRADES]
            name = f"victim-{number}"
            victim = exposed.post("/tokenize", {"inputs": name}, x_request_id=name)
            if (victim.status_code, victim.headers["x-request-id"]) != (200, name):
                wrong.append(victim.text)
            for attempt in attempts:
                answer = attempt.result()
                assert b"smuggled" not in answer
                answered += answer.startswith(b"HTTP/1.1 400 ")
    assert wrong == []
    assert answered == 100 * len(UPGRADES)
    logger.info("padding of %d bytes: %d attacks, 0 of 100 victims harmed", size, answered)
