"""POST /embeddings and /classify, as Infinity's clients send and read them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from server.http.fields import UNNAMED
from server.http.routes.infinity import ClassifyAnswer
from tests.server.http.conftest import Build

TEXTS = ["What a wonderful film!", "Über Suppe lässt sich streiten.", "It was dull."]


@pytest.fixture
def client(build: Build) -> TestClient:
    return TestClient(build())


@pytest.mark.parametrize("below", ["", "/models/reviews", "/models/cloze-small-en"])
@pytest.mark.parametrize("more", [{}, {"encoding_format": "base64"}, {"dimensions": 7}])
def test_embeddings_are_those_of_openais_path(
    client: TestClient, below: str, more: dict[str, Any]
) -> None:
    body = {"input": TEXTS, "model": "cloze-small-en", **more}
    answered = client.post(f"{below}/embeddings", json=body)
    assert answered.status_code == 200
    assert answered.content == client.post(f"{below}/v1/embeddings", json=body).content


@pytest.mark.parametrize("raw", [None, False, True])
def test_labels_are_those_of_predict(client: TestClient, raw: bool | None) -> None:
    body = {"inputs": [[text] for text in TEXTS], "raw_scores": raw}
    expected = client.post("/models/reviews/predict", json=body).json()
    sent = {"input": TEXTS, "model": "reviews", "raw_scores": raw}
    answered = client.post("/classify", json=sent)
    answer = ClassifyAnswer.model_validate_json(answered.content)
    assert answered.json()["data"] == expected
    assert (answer.model, answer.object) == ("reviews", "classify")
    assert str(answer.usage.total_tokens) == answered.headers["x-compute-tokens"]


def test_a_text_that_is_too_long_is_cut_if_that_is_asked(client: TestClient) -> None:
    body = {"input": ["a", "dull " * 600], "model": "reviews"}
    refused = client.post("/classify", json=body)
    assert (refused.status_code, refused.json()["param"]) == (422, "input[1]")
    cut = client.post("/classify", json={**body, "truncate": True})
    assert (cut.status_code, cut.headers["x-truncated"]) == (200, "1")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embeddings", {"input": TEXTS}),
        ("/v1/embeddings", {"input": TEXTS[0]}),
        ("/embed", {"inputs": TEXTS}),
    ],
)
def test_the_name_that_stands_for_no_model_is_none(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    named = client.post(path, json={**body, "model": UNNAMED})
    assert named.status_code == 200
    assert named.content == client.post(path, json=body).content
    missing = client.post(path, json={**body, "model": "default/other"})
    assert missing.status_code == 404


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": "a text"}, "wrong_type", "input"),
        ({"input": []}, "invalid_parameter", "input"),
        ({"input": ["a", 5]}, "wrong_type", "input[1]"),
        ({"input": ["a", ""]}, "empty_text", "input[1]"),
    ],
)
def test_refusals_name_the_field(
    client: TestClient, body: dict[str, Any], code: str, param: str
) -> None:
    refused = client.post("/classify", json={**body, "model": "reviews"})
    assert refused.status_code == 422
    assert (refused.json()["code"], refused.json()["param"]) == (code, param)
