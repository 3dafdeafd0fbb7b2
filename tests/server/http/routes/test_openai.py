"""/v1/embeddings and /v1/models, as raw requests; the official client is in test_clients.py."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from server.http.routes.models import ModelList
from server.http.routes.openai import EmbeddingsAnswer
from tests.conftest import Serve
from tests.running_server import RunningServer

TEXTS = ["A cat.", "The quick brown fox."]


def test_an_answer_has_the_shape_that_openai_documents(two_model_server: RunningServer) -> None:
    body = {"input": TEXTS, "model": "minilm", "user": "someone", "encoding_format": "float"}
    response = two_model_server.post("/v1/embeddings", body)
    answer = TypeAdapter(EmbeddingsAnswer).validate_json(response.content)
    assert [entry.index for entry in answer.data] == [0, 1]
    assert answer.model == "minilm"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    vectors = np.array([entry.embedding for entry in answer.data])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_base64_holds_the_same_numbers_as_float(two_model_server: RunningServer) -> None:
    body = {"input": TEXTS[0], "model": "minilm", "dimensions": 5}
    (plain,) = two_model_server.post("/v1/embeddings", body).json()["data"]
    packed = two_model_server.post("/v1/embeddings", body | {"encoding_format": "base64"})
    unpacked = np.frombuffer(base64.b64decode(packed.json()["data"][0]["embedding"]), "<f4")
    assert unpacked.shape == (5,)
    np.testing.assert_allclose(unpacked, plain["embedding"], atol=1e-6)


def test_without_a_model_the_default_one_answers(two_model_server: RunningServer) -> None:
    answer = two_model_server.post("/v1/embeddings", {"input": "A cat."}).json()
    assert answer["model"] == "cloze-small-en"


def test_an_unknown_model_is_not_found(two_model_server: RunningServer) -> None:
    response = two_model_server.post("/v1/embeddings", {"input": "a", "model": "text-ada-002"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (
        404,
        "model_not_found",
        "model",
    )


@pytest.mark.parametrize("ids", [[1, 2, 3], [[1, 2], [3]]])
def test_token_ids_are_refused_with_the_option_to_set(
    two_model_server: RunningServer, ids: object
) -> None:
    response = two_model_server.post("/v1/embeddings", {"input": ids})
    assert response.status_code == 400
    assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]


def test_token_ids_are_accepted_when_the_server_was_told_to(
    serve: Serve, minilm_model: Path
) -> None:
    server = serve(minilm_model, allow_token_ids=True)
    (tokens,) = server.post("/tokenize", {"inputs": TEXTS[0]}).json()
    ids = [token["id"] for token in tokens]
    by_ids = server.post("/v1/embeddings", {"input": ids}).json()["data"][0]["embedding"]
    by_text = server.post("/v1/embeddings", {"input": TEXTS[0]}).json()["data"][0]["embedding"]
    np.testing.assert_allclose(by_ids, by_text, atol=1e-5)


def test_errors_name_the_field_as_openai_does(two_model_server: RunningServer) -> None:
    response = two_model_server.post("/v1/embeddings", {"input": ["a", ""]})
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("empty_text", "input[1]")


def test_long_text_is_refused_unless_truncate_is_set(two_model_server: RunningServer) -> None:
    body = {"input": "word " * 1000}
    assert two_model_server.post("/v1/embeddings", body).status_code == 400
    cut = two_model_server.post("/v1/embeddings", body | {"truncate": True})
    assert cut.headers["x-truncated"] == "0"


def test_models_are_listed_with_the_default_one_first(two_model_server: RunningServer) -> None:
    answer = TypeAdapter(ModelList).validate_json(two_model_server.get("/v1/models").content)
    assert [card.id for card in answer.data] == ["cloze-small-en", "minilm"]


def test_one_model_is_described_and_an_unknown_one_is_not_found(
    two_model_server: RunningServer,
) -> None:
    assert two_model_server.get("/v1/models/minilm").json()["id"] == "minilm"
    assert two_model_server.get("/v1/models/nope").json()["error"]["code"] == "model_not_found"
