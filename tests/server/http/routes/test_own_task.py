"""Requests that name no task: which route answers them."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import InferenceClient
from starlette.testclient import TestClient

from tests.running_server import RunningServer
from tests.server.http.conftest import Build

FILL = {"inputs": "Paris is the [MASK] of France."}


@pytest.mark.parametrize(
    ("model", "body", "path"),
    [
        ("cloze-small-en", FILL, "/fill-mask"),
        ("cloze-small-en", {"inputs": ["a [MASK]", "b"]}, "/fill-mask"),
        ("cloze-small-en", FILL | {"parameters": {"targets": ["heart"]}}, "/fill-mask"),
        ("cloze-small-en", {"inputs": "A river."}, "/embed"),
        ("cloze-small-en", {"inputs": ["A river.", "b"], "truncate": True}, "/embed"),
        ("cloze-small-en", {"inputs": [[101, 102]]}, "/embed"),
        ("cloze-small-en", {"inputs": {"text": "a", "text_pair": "b"}}, "/nsp"),
        ("cloze-small-en", {"inputs": [["a", "b"], ["c", "d"]]}, "/nsp"),
        ("cloze-small-en", {"input": "A river."}, "/v1/embeddings"),
        ("reviews", {"inputs": "What a film!"}, "/text-classification"),
        ("reviews", {"inputs": "Dull.", "parameters": {"top_k": 1}}, "/text-classification"),
        ("reviews", {"inputs": "What a film!", "raw_scores": True}, "/predict"),
        ("reviews", {"inputs": [["a"], ["b", "c"]], "raw_scores": True}, "/predict"),
        ("names", {"inputs": "Clara lives in Berkeley."}, "/token-classification"),
        ("answers", {"inputs": {"question": "Who?", "context": "Clara."}}, "/question-answering"),
        ("answers", {"inputs": [{"question": "Who?", "context": "C."}]}, "/question-answering"),
        ("answers", {"inputs": "A river."}, "/embed"),
        ("names", {"unknown": "field"}, "/token-classification"),
        ("cloze-small-en", {"inputs": 17}, "/embed"),
    ],
)
def test_the_body_and_the_model_tell_which_route_answers(
    build: Build, model: str, body: dict[str, Any], path: str
) -> None:
    client = TestClient(build())
    expected = client.post(f"/models/{model}{path}", json=body)
    for asked in (f"/models/{model}", f"/models/{model}/"):
        answered = client.post(asked, json=body)
        assert (answered.status_code, answered.content) == (expected.status_code, expected.content)
        for name in ("x-ignored", "x-compute-tokens"):
            assert answered.headers.get(name) == expected.headers.get(name)
    at_root = client.post("/", json=body | {"model": model})
    assert (at_root.status_code, at_root.content) == (expected.status_code, expected.content)


@pytest.mark.parametrize("path", ["/", "/invocations", "/models/cloze-small-en"])
@pytest.mark.parametrize("body", [{"input": ["A river.", 5]}, {"input": ""}, {"input": {}}])
def test_an_error_is_told_as_the_path_that_was_asked_tells_it(
    build: Build, path: str, body: dict[str, Any]
) -> None:
    client = TestClient(build())
    answered = client.post(path, json=body)
    assert answered.status_code == 422
    assert set(answered.json()) == {"error", "error_type", "code", "param"}
    of_openai = client.post("/v1/embeddings", json=body)
    assert of_openai.status_code == 400
    assert answered.json()["error"] == of_openai.json()["error"]["message"]


def test_a_route_counts_what_it_answers_and_no_other(build: Build) -> None:
    client = TestClient(build())
    client.post("/", json=FILL).raise_for_status()
    counted = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("cloze_requests_total{")
    ]
    assert [line.rpartition("} ")[2] for line in counted] == ["1.0"]
    assert 'route="/models/{model}/fill-mask"' in counted[0]


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"{", b"17"])
def test_what_is_no_object_is_refused(build: Build, body: bytes) -> None:
    refused = TestClient(build()).post("/", content=body)
    assert refused.status_code in {400, 422}
    assert refused.json()["error_type"] == "Validation"


def test_clients_of_hugging_face_need_no_more_than_the_address(server: RunningServer) -> None:
    for address in (server.url, f"{server.url}/models/cloze-small-en"):
        client = InferenceClient(model=address)
        first, *_ = client.fill_mask("Paris is the [MASK] of France.")
        assert first.token_str == "capital"
        assert client.feature_extraction("A river.").shape == (1, 384)
