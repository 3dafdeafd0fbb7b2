"""curl, which asks for HTTP/2 by an upgrade that a server of HTTP/1.1 passes over."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from tests.running_server import RunningServer

CLIENT = "curl"
VERSION = "7.81 or newer"

LONG = "Paris is the [MASK] of France. " + "It is long. " * 20


def curl(*arguments: str) -> str:
    """What curl printed."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("text", ["Paris is the [MASK] of France.", LONG])
def test_an_offer_of_http2_is_passed_over(server: RunningServer, text: str) -> None:
    """`curl --http2 -d '{"inputs": …}' /fill-mask`"""
    body = json.dumps({"inputs": text})
    content = ("-H", "content-type: application/json", "-d", body)
    answer = json.loads(curl("--http2", *content, f"{server.url}/fill-mask"))
    assert answer == server.post("/fill-mask", {"inputs": text}).json()


def test_so_it_is_where_nothing_is_sent(server: RunningServer) -> None:
    """`curl --http2 /info`"""
    assert json.loads(curl("--http2", f"{server.url}/info"))["model"] == "cloze-small-en"


def test_a_body_is_form_data_unless_it_is_said_to_be_json(server: RunningServer) -> None:
    """`curl -d '{"inputs": …}' /embed`: without the header, 415 says which to send"""
    told = json.loads(curl("-d", '{"inputs": "a"}', f"{server.url}/embed"))
    assert "content-type: application/json" in json.dumps(told)
