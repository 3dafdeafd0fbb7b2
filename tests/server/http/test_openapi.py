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


def choices(part: object) -> Iterator[list[object]]:
    """The values of each choice anywhere in a document."""
    if isinstance(part, dict):
        yield from [part["enum"]] if isinstance(part.get("enum"), list) else []
        part = list(part.values())
    for own in part if isinstance(part, list) else []:
        yield from choices(own)


def test_generated_clients_get_names_that_differ(build: Build) -> None:
    document = TestClient(build()).get("/openapi.json").json()
    of_all = [list(map(str, values)) for values in choices(document)]
    assert len(of_all) >= 20
    for values in of_all:
        assert len({value.upper() for value in values}) == len(values), values
    operations = [own for methods in document["paths"].values() for own in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@pytest.mark.parametrize(
    ("path", "body", "field", "value"),
    [
        ("/embed", {"inputs": "a " * 900, "truncate": True}, "truncation_direction", "Left"),
        ("/embed", {"inputs": "a"}, "output_dtype", "INT8"),
        ("/embed", {"inputs": "a"}, "truncate", "End"),
        ("/v1/embeddings", {"input": "a"}, "encoding_format", "Base64"),
    ],
)
def test_what_the_document_names_in_one_case_is_understood_in_any(
    build: Build, path: str, body: dict[str, Any], field: str, value: str
) -> None:
    client = TestClient(build())
    for written in (value, value.lower(), value.upper()):
        assert client.post(path, json={**body, field: written}).status_code == 200, written


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
