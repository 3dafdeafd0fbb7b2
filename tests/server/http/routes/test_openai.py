"""/v1/embeddings and /v1/models, as raw requests; the official client is in test_clients.py."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from sentence_transformers.util import quantize_embeddings

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


NUMBERS = {
    "float": "<f4",
    "int8": "i1",
    "uint8": "u1",
    "binary": "i1",
    "ubinary": "u1",
}


def embedding(server: RunningServer, **more: object) -> Any:
    """The vector of a text, as it stands in the answer."""
    response = server.post("/v1/embeddings", {"input": TEXTS[:1], **more})
    assert response.status_code == 200, response.text
    return response.json()["data"][0]["embedding"]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_of_each_type_are_the_same_however_they_are_asked_for(
    server: RunningServer, dtype: str
) -> None:
    exact = np.array([embedding(server, dimensions=20)], np.float32)
    listed = embedding(server, dimensions=20, encoding_format=dtype)
    assert embedding(server, dimensions=20, output_dtype=dtype) == listed
    assert embedding(server, dimensions=20, output_dtype=dtype, encoding_format=dtype) == listed
    packed = embedding(server, dimensions=20, output_dtype=dtype, encoding_format="base64")
    assert np.frombuffer(base64.b64decode(packed), NUMBERS[dtype]).tolist() == pytest.approx(listed)
    body = {"inputs": TEXTS[:1], "dimensions": 20, "output_dtype": dtype}
    assert server.post("/embed", body).json() == [listed]
    if dtype.endswith("binary"):
        wanted = quantize_embeddings(exact, precision=dtype)
        assert listed == wanted[0].tolist()


def test_two_types_of_numbers_contradict_each_other(server: RunningServer) -> None:
    body = {"input": "a", "encoding_format": "int8", "output_dtype": "binary"}
    response = server.post("/v1/embeddings", body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (
        400,
        "invalid_parameter",
        "output_dtype",
    )


@pytest.mark.parametrize("name", ["encoding_format", "output_dtype", "input_type"])
def test_unknown_choices_are_refused_by_name(server: RunningServer, name: str) -> None:
    response = server.post("/v1/embeddings", {"input": "a", name: "int4"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_parameter", name)


def test_a_prompt_is_chosen_by_its_name_or_by_what_the_texts_are(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    model = library("weighted")  # whose default prompt is that of queries
    prompts = {
        "query": model.encode_query(TEXTS[0]),
        "passage": model.encode(TEXTS[0], prompt_name="passage"),
        "longer than any text": model.encode(TEXTS[0], prompt_name="longer than any text"),
    }
    asked: dict[str, list[dict[str, object]]] = {
        "query": [{}, {"input_type": "query"}, {"input_type": "search_query"}],
        "passage": [{"input_type": kind} for kind in ("passage", "document", "search_document")],
        "longer than any text": [
            {"prompt_name": "longer than any text"},
            {"prompt_name": "longer than any text", "input_type": "query"},
        ],
    }
    for name, wanted in prompts.items():
        for more in asked[name]:
            found = embedding(library_server, model="weighted", truncate=True, **more)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_model_without_prompts_puts_none_in_front(server: RunningServer) -> None:
    plain = embedding(server)
    for kind in ("query", "document"):
        assert embedding(server, input_type=kind) == plain


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
