"""Triton's HTTP client, unmodified: the Open Inference Protocol with tensors as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.clients.heavy.conftest import TEXTS
from tests.documents import examples, run_program
from tests.running_server import RunningServer

CLIENT = "tritonclient, HTTP"
PACKAGES = ("tritonclient",)


@pytest.fixture(scope="module")
def client(everything: RunningServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(everything.url.removeprefix("http://")) as one:
        yield one


def texts(name: str, values: list[str], *, binary: bool = True) -> InferInput:
    tensor = InferInput(name, [len(values)], "BYTES")
    return tensor.set_data_from_numpy(np.array(values, np.object_), binary_data=binary)


def test_it_sees_the_server_and_its_models(client: InferenceServerClient) -> None:
    """`is_server_live()`, `is_server_ready()`, `is_model_ready(…)` and both metadata calls"""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("names")
    assert client.is_model_ready("names", "1")
    assert not client.is_model_ready("nobody")
    assert client.get_server_metadata()["name"] == "cloze"
    told = client.get_model_metadata("reviews")
    assert [tensor["name"] for tensor in told["inputs"]] == ["text", "text_pair"]


@pytest.mark.parametrize("binary", [True, False])
def test_it_embeds(client: InferenceServerClient, vectors: list[list[float]], binary: bool) -> None:
    """`infer(model, [BYTES])` for `embedding`, as bytes, which is its default, and as JSON"""
    wanted = [InferRequestedOutput("embedding", binary_data=binary)]
    inputs = [texts("text", TEXTS, binary=binary)]
    found = client.infer("cloze-small-en", inputs, outputs=wanted, request_id="7")
    assert found.get_response()["id"] == "7"
    np.testing.assert_allclose(found.as_numpy("embedding"), vectors, atol=1e-6)


def test_it_classifies(client: InferenceServerClient, everything: RunningServer) -> None:
    """`infer(…)` without outputs: `label` as BYTES and `score` as FP32"""
    found = client.infer("reviews", [texts("text", TEXTS)])
    inputs = [[text] for text in TEXTS]
    direct = everything.post("/models/reviews/predict", {"inputs": inputs}).json()
    labels = [[one.decode() for one in row] for row in found.as_numpy("label")]
    assert labels == [[one["label"] for one in own] for own in direct]
    scores = [[one["score"] for one in own] for own in direct]
    np.testing.assert_allclose(found.as_numpy("score"), scores, atol=1e-6)


def test_it_fills_masks(client: InferenceServerClient) -> None:
    """`infer(…, parameters={"top_k": 2})`: `token_str`, `token_score` and `sequence`"""
    text = "Paris is the [MASK] of France."
    found = client.infer("cloze-small-en", [texts("text", [text])], parameters={"top_k": 2})
    assert found.as_numpy("token_str").shape == found.as_numpy("token_score").shape == (1, 2)
    assert found.as_numpy("sequence")[0, 0].decode() == "paris is the capital of france."


def test_it_finds_entities_and_answers(client: InferenceServerClient) -> None:
    """`infer(…)` of a tagger, `entities` as JSON, and of question answering, two inputs"""
    found = client.infer("names", [texts("text", ["Clara lives in Berkeley."])])
    assert [one["entity_group"] for one in json.loads(found.as_numpy("entities")[0])] == [
        "PER",
        "LOC",
    ]
    asked = [texts("question", ["Where does Clara live?"]), texts("context", ["Clara lives here."])]
    assert client.infer("answers", asked).as_numpy("answer").shape == (1,)


def test_bodies_may_be_compressed(
    client: InferenceServerClient, vectors: list[list[float]]
) -> None:
    """`infer(…, request_compression_algorithm="gzip", response_compression_algorithm="gzip")`"""
    found = client.infer(
        "cloze-small-en",
        [texts("text", TEXTS)],
        outputs=[InferRequestedOutput("embedding")],
        request_compression_algorithm="gzip",
        response_compression_algorithm="gzip",
    )
    np.testing.assert_allclose(found.as_numpy("embedding"), vectors, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        ("cloze-small-en", ["no blank"], "holds no [MASK]"),
        ("cloze-small-en", [], "empty"),
        ("nobody", ["a"], "No model of this name"),
    ],
)
def test_it_tells_refusals(
    client: InferenceServerClient, model: str, values: list[str], told: str
) -> None:
    """refusals: `InferenceServerException` with our sentence"""
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, [texts("text", values)])
    assert told in refused.value.message()


def test_the_program_of_the_page_runs(everything: RunningServer) -> None:
    """the program on the page of the protocol, [open-inference.md](open-inference.md)"""
    (program,) = (example for example in examples("docs/open-inference.md") if example.program)
    run_program(program, everything)
