"""Java's own HTTP client with its defaults, which offers an upgrade to HTTP/2."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running_server import RunningServer

CLIENT = "Java's `HttpClient`"
VERSION = "Java 11 or newer"

PROGRAM = Path(__file__).with_name("Ask.java")


def test_it_is_answered_on_every_request(server: RunningServer) -> None:
    """`HttpClient.newHttpClient().send(…)`: three POSTs to `/fill-mask` on one connection"""
    if shutil.which("java") is None or shutil.which("javac") is None:
        pytest.skip("no JDK is installed")
    texts = ["Paris is the [MASK] of France.", "Ein [MASK] für Öl.", "A [MASK]. " * 60]
    bodies = [json.dumps({"inputs": text}) for text in texts]
    done = subprocess.run(
        ["java", str(PROGRAM), f"{server.url}/fill-mask", *bodies],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(bodies)
    for line, text in zip(lines, texts, strict=True):
        status, version, answer = line.split(" ", 2)
        assert (status, version) == ("200", "HTTP_1_1")
        assert json.loads(answer) == server.post("/fill-mask", {"inputs": text}).json()
