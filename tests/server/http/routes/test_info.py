"""GET /info, and models chosen by path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from server import __version__ as server_version
from server.http.routes.info import InfoAnswer, TeiInfo
from tests.running_server import RunningServer
from tests.server.http.conftest import Build


def test_info_repeats_the_manifest(server: RunningServer, default_model: Path) -> None:
    manifest = json.loads((default_model / "manifest.json").read_text())
    info = InfoAnswer.model_validate_json(server.get("/info").content)
    assert info.heads == manifest["heads"]
    assert (info.precision, info.device) == (manifest["precision"], "cpu")
    assert info.parameters == manifest["parameters"]
    assert info.max_tokens == manifest["max_tokens"]


def test_info_tells_what_text_embeddings_inference_does(build: Build) -> None:
    client = TestClient(build(auto_truncate=True, max_inputs=77))
    told = {
        name: TeiInfo.model_validate(
            {
                field: value
                for field, value in client.get(f"/models/{name}/info").json().items()
                if field in TeiInfo.model_fields
            }
        )
        for name in ("cloze-small-en", "reviews", "stars", "names")
    }
    own = told["cloze-small-en"]
    assert (own.model_id, own.model_dtype, own.max_input_length) == ("cloze-small-en", "int8", 512)
    assert (own.auto_truncate, own.max_client_batch_size) == (True, 77)
    assert own.max_batch_tokens == 512
    assert own.version == server_version
    assert len(own.model_sha or "") == 64
    kinds = {
        name: [kind for kind, value in info.model_type if value is not None]
        for name, info in told.items()
    }
    assert kinds == {
        "cloze-small-en": ["embedding"],
        "names": ["embedding"],
        "reviews": ["classifier"],
        "stars": ["reranker"],
    }
    classifier = told["reviews"].model_type.classifier
    assert classifier
    assert classifier.id2label == {"0": "negative", "1": "neutral", "2": "positive"}
    assert classifier.label2id == {"negative": 0, "neutral": 1, "positive": 2}
    # One key, as TEI writes it: its clients look which one is there.
    assert list(client.get("/models/stars/info").json()["model_type"]) == ["reranker"]


def test_info_tells_limits_and_versions(server: RunningServer) -> None:
    info = server.get("/info").json()
    assert info["limits"]["max_body_bytes"] == 2_000_000
    assert {"cloze", "python", "onnxruntime", "tokenizers"} <= set(info["versions"])


def test_each_model_answers_under_its_own_path(two_model_server: RunningServer) -> None:
    assert two_model_server.get("/models/minilm/info").json()["model"] == "minilm"
    assert two_model_server.get("/info").json()["model"] == "cloze-small-en"
    assert two_model_server.get("/info").json()["models"] == ["cloze-small-en", "minilm"]
    at_root = two_model_server.post("/embed", {"inputs": "a"}).json()
    by_path = two_model_server.post("/models/cloze-small-en/embed", {"inputs": "a"}).json()
    other = two_model_server.post("/models/minilm/embed", {"inputs": "a"}).json()
    assert at_root == by_path
    assert other != by_path


def test_info_tells_which_routes_a_model_answers(
    server: RunningServer, classifier_server: RunningServer
) -> None:
    assert server.get("/info").json()["tasks"] == [
        "/embed",
        "/embed_all",
        "/similarity",
        "/fill-mask",
        "/score",
        "/nsp",
        "/tokenize",
        "/decode",
    ]
    tasks = {
        name: classifier_server.get(f"/models/{name}/info").json()["tasks"][3:-2]
        for name in ("reviews", "names", "answers", "matches", "inference")
    }
    classified = ["/predict", "/text-classification"]
    assert tasks == {
        "reviews": ["/fill-mask", "/score", "/nsp", *classified],
        "names": ["/token-classification"],
        "answers": ["/question-answering"],
        "matches": [*classified, "/rerank"],
        "inference": [*classified, "/zero-shot-classification"],
    }


def test_info_tells_labels_and_what_their_scores_are(classifier_server: RunningServer) -> None:
    told = {
        name: InfoAnswer.model_validate_json(classifier_server.get(f"/models/{name}/info").content)
        for name in ("reviews", "topics", "stars")
    }
    assert told["reviews"].labels == ["negative", "neutral", "positive"]
    kinds = {name: (info.multi_label, info.regression) for name, info in told.items()}
    assert kinds == {"reviews": (False, False), "topics": (True, False), "stars": (False, True)}


@pytest.mark.parametrize("task", ["fill-mask", "nsp", "embed", "tokenize"])
def test_an_unknown_model_is_not_found(two_model_server: RunningServer, task: str) -> None:
    body = {"inputs": ["a [MASK]", "b"]}
    response = two_model_server.post(f"/models/nope/{task}", body)
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(("task", "inputs"), [("fill-mask", "a [MASK]"), ("nsp", ["a", "b"])])
def test_a_head_that_the_model_lacks_is_refused(
    two_model_server: RunningServer, task: str, inputs: object
) -> None:
    response = two_model_server.post(f"/models/minilm/{task}", {"inputs": inputs})
    assert (response.status_code, response.json()["code"]) == (422, "missing_head")
