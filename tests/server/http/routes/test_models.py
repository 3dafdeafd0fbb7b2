"""Which models there are, and how they are found: by name, by alias, or by what is asked."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from server.http.routes.models import ModelCard, ModelList
from tests.server.http.conftest import Build

ALIASES = "org/name-v2=cloze-small-en, ner=names"
FILL = {"inputs": "Paris is the [MASK] of France."}
QUESTION = {"inputs": {"question": "Where?", "context": "Clara lives in Berkeley."}}


@pytest.fixture
def client(build: Build) -> TestClient:
    return TestClient(build(alias=ALIASES))


@pytest.mark.parametrize("path", ["/models", "/v1/models", "/models/names/v1/models", "/models/"])
def test_models_are_listed_with_their_aliases(client: TestClient, path: str) -> None:
    cards = ModelList.model_validate_json(client.get(path).content).data
    assert cards[0].id == "cloze-small-en"
    assert [(card.id, card.root) for card in cards[-2:]] == [
        ("org/name-v2", "cloze-small-en"),
        ("ner", "names"),
    ]
    assert "token-classification" in cards[-1].tasks


@pytest.mark.parametrize("below", ["", "/models/reviews", "/models/ner", "/models/org/name-v2"])
@pytest.mark.parametrize("name", ["names", "ner", "org/name-v2", "org%2Fname-v2"])
def test_a_model_is_described_by_any_of_its_names(
    client: TestClient, below: str, name: str
) -> None:
    card = ModelCard.model_validate_json(client.get(f"{below}/v1/models/{name}").content)
    assert card.id == card.root == ("cloze-small-en" if "org" in name else "names")


@pytest.mark.parametrize(
    "path", ["/models/nobody/v1/models", "/models/nobody/v1/models/names", "/v1/models/nobody"]
)
def test_there_is_nothing_below_a_model_that_is_not_there(client: TestClient, path: str) -> None:
    answered = client.get(path)
    assert (answered.status_code, answered.json()["error"]["code"]) == (404, "model_not_found")


def test_all_that_openais_and_coheres_clients_ask_is_answered_below_a_model(
    client: TestClient,
) -> None:
    paths = set(client.get("/openapi.json").json()["paths"])
    theirs = {path for path in paths if path.startswith(("/v1/", "/v2/rerank"))}
    assert len(theirs) >= 5
    assert {f"/models/{{model}}{path}" for path in theirs} <= paths


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/org/name-v2/fill-mask", FILL),
        ("/models/org/name-v2/fill-mask/", FILL),
        ("/models/org%2Fname-v2/fill-mask", FILL),
        ("/fill-mask", FILL | {"model": "org/name-v2"}),
        ("/models/org/name-v2/v1/embeddings", {"input": "a"}),
        ("/v1/embeddings", {"input": "a", "model": "org/name-v2"}),
        ("/models/ner/token-classification", {"inputs": "Clara lives here."}),
        ("/token-classification", {"inputs": "Clara lives here.", "model": "ner"}),
        ("/nsp", {"inputs": ["a", "b"], "model": "cloze-small-en"}),
    ],
)
def test_a_request_goes_to_the_model_that_it_names(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    assert client.post(path, json=body).status_code == 200
    series = client.get("/metrics").text
    own = "names" if "ner" in {body.get("model"), *path.split("/")} else "cloze-small-en"
    answered = [line for line in series.splitlines() if line.startswith("cloze_requests_total{")]
    assert any(f'model="{own}"' in line and 'status="200"' in line for line in answered)
    assert "org/name" not in series


def test_the_path_counts_for_more_than_the_body(client: TestClient) -> None:
    for body in (FILL | {"model": "names"}, FILL | {"model": "nobody"}):
        assert client.post("/models/cloze-small-en/fill-mask", json=body).status_code == 200
    asked = {"input": "a", "model": "text-embedding-3-small"}
    answer = client.post("/models/names/v1/embeddings", json=asked)
    assert answer.json()["model"] == "names"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/nobody/embed", {"inputs": "a"}),
        ("/models/org/nobody/embed", {"inputs": "a"}),
        ("/models/nobody/v1/embeddings", {"input": "a"}),
        ("/v1/embeddings", {"input": "a", "model": "org/nobody"}),
        ("/predict", {"inputs": "a", "model": "nobody"}),
        ("/models/nobody", FILL),
        ("/", FILL | {"model": "nobody"}),
    ],
)
def test_a_model_that_is_not_there_is_told_with_those_that_are(
    client: TestClient, path: str, body: object
) -> None:
    refused = client.post(path, json=body)
    assert refused.status_code == 404
    assert "model_not_found" in refused.text
    assert "loaded: answers, cloze-small-en, " in refused.text
    assert "nobody" not in refused.text


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/question-answering", QUESTION, "answers"),
        ("/token-classification", {"inputs": "Clara lives here."}, "names"),
        ("/fill-mask", FILL, "cloze-small-en"),
    ],
)
def test_a_task_finds_the_only_model_that_can_do_it(
    client: TestClient, path: str, body: object, model: str
) -> None:
    assert (
        client.post(path, json=body).json()
        == client.post(f"/models/{model}{path}", json=body).json()
    )


def test_of_several_one_has_to_be_named(build: Build) -> None:
    client = TestClient(build())
    refused = client.post("/predict", json={"inputs": "a"})
    assert (refused.status_code, refused.json()["code"]) == (422, "model_required")
    assert "reviews" in refused.json()["error"]
    assert "names" not in refused.json()["error"]
    # Without a default one that holds for what they all can do, too.
    several = TestClient(build(only=["names", "answers"]))
    for path, body in (
        ("/embed", {"inputs": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/", FILL),
    ):
        refused = several.post(path, json=body)
        assert refused.status_code in {400, 422}
        assert "model_required" in refused.text
        assert several.post(path, json={**body, "model": "names"}).status_code == 200
    assert several.get("/info").json()["code"] == "model_required"
    assert several.get("/models").json()["data"][0]["id"] == "names"
    assert several.post("/question-answering", json=QUESTION).status_code == 200


@pytest.mark.parametrize(("path", "body"), [("/fill-mask", FILL), ("/predict", {"inputs": "a"})])
def test_a_head_that_the_named_model_lacks_is_told_with_who_has_it(
    client: TestClient, path: str, body: object
) -> None:
    refused = client.post(f"/models/names{path}", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "missing_head")
    others = "cloze-small-en" if path == "/fill-mask" else "reviews"
    assert others in refused.json()["error"]


@pytest.mark.parametrize("path", ["/embed/", "/models/names/embed/", "/info/", "/livez/", "/docs/"])
def test_one_slash_at_the_end_is_passed_over(client: TestClient, path: str) -> None:
    def ask(path: str) -> int:
        if "embed" in path:
            return client.post(path, json={"inputs": "a"}, follow_redirects=False).status_code
        return client.get(path, follow_redirects=False).status_code

    assert ask(path) == ask(path.removesuffix("/")) == 200
    assert ask(path + "/") == 404
