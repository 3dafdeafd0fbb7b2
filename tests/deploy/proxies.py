"""The documented configuration of a proxy and the ports of servers -> the real proxy, running."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.running_server import REPOSITORY, Served

DEPLOY = REPOSITORY / "deploy"
LIMIT_S = 10
# What many have in their configuration, for applications that speak WebSocket.
WEBSOCKET = """
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
"""
WEBSOCKET_MAP = """
    map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Replaces what must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, servers: Sequence[int], *, websocket: bool = False) -> Iterator[Served]:
    """Runs nginx in front of two servers."""
    port = free_ports(1)[0]
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in names)
    text = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        *_ports(port, servers),
        (
            "http {\n",
            f"http {{\n    access_log off;\n{temporary}{WEBSOCKET_MAP if websocket else ''}",
        ),
    )
    if websocket:
        text = replaced(text, ('            proxy_set_header Connection "";', WEBSOCKET))
    file = folder / "nginx.conf"
    file.write_text(text)
    user = "user root; " if os.geteuid() == 0 else ""
    options = f"daemon off; {user}pid {folder}/nginx.pid; error_log {folder}/proxy.log;"
    with running(["nginx", "-p", str(folder), "-c", str(file), "-g", options], folder, port) as one:
        yield one


@contextmanager
def haproxy(folder: Path, servers: Sequence[int]) -> Iterator[Served]:
    """Runs HAProxy in front of two servers."""
    port = free_ports(1)[0]
    text = replaced((DEPLOY / "haproxy.cfg").read_text(), *_ports(port, servers))
    file = folder / "haproxy.cfg"
    file.write_text(text)
    with running(["haproxy", "-db", "-f", str(file)], folder, port) as one:
        yield one


def _ports(port: int, servers: Sequence[int]) -> list[tuple[str, str]]:
    documented = ("8081", "8082")
    pairs = [(old, str(new)) for old, new in zip(documented, servers, strict=True)]
    return [("8080", str(port)), *pairs]


@contextmanager
def running(
    command: list[str], folder: Path, port: int, ready: str = "/readyz"
) -> Iterator[Served]:
    """Runs a program until the block ends; it has begun when it answers at `ready`."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    proxy = Served(port=port)
    try:
        deadline = time.monotonic() + LIMIT_S
        while not _answers(proxy, ready):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield proxy
    finally:
        proxy.client.close()
        process.terminate()
        process.wait(LIMIT_S)


def _answers(proxy: Served, ready: str) -> bool:
    """Whether requests reach a server."""
    try:
        return proxy.get(ready).is_success
    except httpx.ConnectError:
        return False
