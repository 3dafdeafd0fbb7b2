"""The OpenAPI document: its examples can be sent as they are, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient

from tests.server.http.conftest import Build

# A model for each task, and of each but one: an example names its model where it has to.
MODELS = [
    ["cloze-small-en", "reviews", "names", "answers", "matches", "inference"],
    ["answers", "inference", "matches", "names", "reviews", "topics", "cloze-small-en"],
]


def trials(document: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """What the button "Try it out" sends, for each operation: method, path and body."""
    for path, methods in document["paths"].items():
        if path.endswith("/embed_sparse"):
            continue  # of models that were exported for it, of which these are none
        for method, operation in methods.items():
            filled = path
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    filled = filled.replace(f"{{{parameter['name']}}}", parameter["example"])
            content = operation.get("requestBody", {}).get("content", {})
            yield method, filled, content.get("application/json", {}).get("example")


@pytest.mark.parametrize("models", MODELS)
def test_every_example_is_answered_as_it_is(build: Build, models: list[str]) -> None:
    client = TestClient(build(only=models))
    tried = list(trials(client.get("/openapi.json").json()))
    assert len(tried) >= 28
    for method, path, body in tried:
        answered = client.request(method, path, json=body)
        assert answered.status_code == 200, (path, body, answered.text)


@pytest.mark.parametrize(
    ("root_path", "shown", "expected"),
    [
        ("", "https://a.example/openapi.json", "https://a.example/"),
        ("", "https://a.example/tools/bert/openapi.json", "https://a.example/tools/bert/"),
        ("/bert", "https://a.example/bert/openapi.json", "https://a.example/bert"),
    ],
)
def test_the_document_says_where_the_server_is_behind_a_proxy(
    build: Build, root_path: str, shown: str, expected: str
) -> None:
    client = TestClient(build(), root_path=root_path)
    (server,) = client.get("/openapi.json").json()["servers"]
    assert urljoin(shown, server["url"]) == expected


@pytest.mark.parametrize(("root_path", "location"), [("", "docs"), ("/a/b", "/a/b/docs")])
def test_without_a_page_the_root_leads_to_the_docs_behind_a_proxy(
    build: Build, root_path: str, location: str
) -> None:
    client = TestClient(build(page=False), root_path=root_path)
    assert client.get("/", follow_redirects=False).headers["location"] == location
