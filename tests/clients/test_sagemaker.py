"""What SageMaker's hosting asks of a container: it passes on the requests of its callers.

They send the bytes and the content type that they like; SageMaker adds headers of its own.
"""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest

from tests.running_server import RunningServer

CLIENT = "SageMaker's hosting"
VERSION = "what it asks of containers"

ADDED = {
    "X-Amzn-SageMaker-Custom-Attributes": "trace=7",
    "X-Amzn-SageMaker-Inference-Id": "1f",
    "X-Forwarded-For": "10.0.0.1",
    "Accept": "*/*",
}
MASKED = "Paris is the [MASK] of France."
QUESTION = {"question": "Where does Clara live?", "context": "Clara lives in Berkeley."}


def asked(server: RunningServer, method: str, path: str, body: bytes | None, **named: str) -> Any:
    """The status and the answer to what SageMaker sends."""
    headers = {name.replace("_", "-"): value for name, value in named.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, path, body, ADDED | headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_asks_whether_the_container_is_well(everything: RunningServer) -> None:
    """`GET /ping`: 200"""
    assert asked(everything, "GET", "/ping", None)[0] == 200


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"inputs": MASKED, "parameters": {"top_k": 2}}, "/fill-mask"),
        ({"inputs": [QUESTION["context"], "日本"], "truncate": True}, "/embed"),
        ({"inputs": QUESTION, "model": "answers"}, "/question-answering"),
        ({"inputs": QUESTION["context"], "model": "names"}, "/token-classification"),
        ({"query": "Where?", "texts": ["Here.", "There."], "model": "matches"}, "/rerank"),
        ({"input": ["A river."], "model": "cloze-small-en"}, "/v1/embeddings"),
    ],
)
def test_it_passes_on_what_its_callers_send(
    everything: RunningServer, body: dict[str, Any], path: str
) -> None:
    """`POST /invocations` with the body of any task; `model` names one of several models"""
    raw = json.dumps(body, ensure_ascii=False).encode()
    direct = everything.post(path, body).json()
    told = asked(everything, "POST", "/invocations", raw, content_type="application/json")
    assert told == (200, direct)


def test_its_callers_read_refusals(everything: RunningServer) -> None:
    """refusals: the status and our sentence, which `ModelError` shows; 415 for what is no JSON"""
    status, told = asked(everything, "POST", "/invocations", b"[]", content_type="application/json")
    assert (status, told["code"]) == (422, "wrong_type")
    status, told = asked(
        everything, "POST", "/invocations", b'{"inputs": " "}', content_type="application/json"
    )
    assert (status, told["code"], told["param"]) == (422, "empty_text", "inputs")
    status, told = asked(
        everything, "POST", "/invocations", b"{}", content_type="application/octet-stream"
    )
    assert status == 415
    assert "content-type: application/json" in told["error"]
