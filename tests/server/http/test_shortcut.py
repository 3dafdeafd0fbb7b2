"""The short way to the default model's tasks: what it answers is what the long way answers."""

from __future__ import annotations

import pytest

from tests.running_server import RunningServer

BODIES = {
    "/fill-mask": {"inputs": "Paris is the [MASK] of France."},
    "/nsp": {"inputs": ["The train was late.", "We waited for an hour."]},
    "/embed": {"inputs": ["A river runs through it."]},
    "/tokenize": {"inputs": "Two words"},
}
REFUSED = {"inputs": ""}


@pytest.mark.parametrize("path", BODIES)
def test_both_ways_give_the_same_answer(path: str, server: RunningServer) -> None:
    short = server.post(path, BODIES[path])
    long = server.post(f"/models/cloze-small-en{path}", BODIES[path])
    assert short.status_code == long.status_code == 200
    assert short.json() == long.json()
    assert set(short.headers) == set(long.headers)


@pytest.mark.parametrize("path", BODIES)
def test_both_ways_give_the_same_refusal(path: str, server: RunningServer) -> None:
    short = server.post(path, REFUSED)
    long = server.post(f"/models/cloze-small-en{path}", REFUSED)
    assert short.status_code == long.status_code == 422
    assert short.json() == long.json()


def test_another_method_takes_the_long_way(server: RunningServer) -> None:
    refused = server.get("/fill-mask")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "POST"
