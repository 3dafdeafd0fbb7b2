"""Prometheus' own linter, over the metrics of a server that has answered and refused."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.running_server import RunningServer

CLIENT = "Prometheus' `promtool`"
VERSION = "2.42 or newer"


def test_promtool_finds_nothing_to_say(everything: RunningServer) -> None:
    """`promtool check metrics < /metrics`: exit 0, and not a word"""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    assert everything.post("/fill-mask", {"inputs": "A [MASK]."}).is_success
    assert everything.post("/embed", {"inputs": ""}).is_client_error
    assert everything.get("/nowhere").is_client_error
    metrics = everything.get("/metrics").content
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
