"""What holds for the fields of every body: unknown ones, `model`, `truncate`, and choices."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from server.http.fields import ignored_header
from server.http.routes import PER_MODEL, SHARED
from server.http.schemas import Body, Cutting
from tests.server.http.conftest import Build

LONG = "word " * 700
FILL = {"inputs": "Paris is the [MASK] of France."}


def bodies() -> dict[str, Any]:
    """The body of each route that has one, by its path."""
    return {
        route.path: body
        for router in (*PER_MODEL, *SHARED)
        for route in router.routes
        if isinstance(route, APIRoute) and (body := get_type_hints(route.endpoint).get("body"))
    }


def models(schema: Any) -> set[type[BaseModel]]:
    """All classes in pydantic's own description of a type."""
    if isinstance(schema, dict):
        own = {schema["cls"]} if schema.get("type") == "model" else set()
        return own.union(*map(models, schema.values()))
    return set().union(*map(models, schema)) if isinstance(schema, list | tuple) else set()


@pytest.mark.parametrize("path", bodies())
def test_a_body_passes_unknown_fields_over_and_what_is_in_it_refuses_them(path: str) -> None:
    body = bodies()[path]
    assert issubclass(body, Body)
    for each in models(TypeAdapter(body).core_schema):
        extra = each.model_config.get("extra")
        assert extra == ("ignore" if each is body else "forbid"), each


@pytest.mark.parametrize("prefix", ["", "/models/cloze-small-en"])
@pytest.mark.parametrize(
    ("unknown", "told"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"user": "me", "a b": 1, "x\r\ny": 2}, "user,..."),
        ({f"field-{n:02}": None for n in range(25)}, ",".join(f"field-{n:02}" for n in range(16))),
        ({"naïve": 1}, "..."),
        ({"y" * 41: 1, "z" * 40: 1}, f"{'z' * 40},..."),
    ],
)
def test_unknown_fields_are_ignored_and_named(
    build: Build, prefix: str, unknown: dict[str, object], told: str
) -> None:
    client = TestClient(build())
    answered = client.post(f"{prefix}/fill-mask", json=FILL | unknown)
    assert answered.json() == client.post(f"{prefix}/fill-mask", json=FILL).json()
    assert answered.headers["x-ignored"].startswith(told)
    assert len(answered.headers["x-ignored"]) < 700
    assert "x-ignored" not in client.post(f"{prefix}/fill-mask", json=FILL).headers


def test_a_refusal_names_them_too(build: Build) -> None:
    for path, body in (("/embed", {"input": "a"}), ("/v1/embeddings", {"inputs": "a"})):
        refused = TestClient(build()).post(path, json=body)
        assert refused.is_client_error
        assert refused.headers["x-ignored"] == next(iter(body))


def test_the_header_is_safe_whatever_the_names() -> None:
    names = ["\n", "", "a" * 1000, "ok", "é", 'q"', *(f"n{i}" for i in range(1000))]
    header = ignored_header(names)
    assert re.fullmatch(r"[A-Za-z0-9_.,-]+", header)
    assert len(header) < 700


CUTTING: dict[str, dict[str, Any]] = {
    "/embed": {"inputs": LONG},
    "/v1/embeddings": {"input": LONG},
    "/nsp": {"inputs": ["a", LONG]},
    "/models/reviews/predict": {"inputs": LONG},
    "/fill-mask": {"inputs": f"[MASK] {LONG}", "parameters": {}},
    "/models/names/token-classification": {"inputs": LONG, "parameters": {}},
}


def saying(path: str, said: object) -> dict[str, Any]:
    body = CUTTING[path]
    if "parameters" in body:
        return {**body, "parameters": {"truncate": said}}
    return {**body, "truncate": said}


@pytest.mark.parametrize("path", CUTTING)
def test_truncate_is_understood_as_clients_say_it(build: Build, path: str) -> None:
    client = TestClient(build())
    said: object
    for said in (True, "END", "end", "START", "Start"):
        answered = client.post(path, json=saying(path, said))
        if "parameters" in CUTTING[path] and str(said).upper() == "START":
            # It cuts at the end and nowhere else, and says so rather than do otherwise.
            assert answered.status_code == 422
            assert "cuts at the end here" in answered.json()["error"]
        else:
            assert answered.status_code == 200
            assert answered.headers["x-truncated"] == "0"
    for said in (False, None, "none", "NONE"):
        assert client.post(path, json=saying(path, said)).is_client_error
    for said in ("middle", 1, [], "LEFT "):
        refused = client.post(path, json=saying(path, said))
        assert refused.is_client_error
        assert "END or NONE" in refused.text


@pytest.mark.parametrize("said", [False, None, "NONE", "none"])
def test_truncate_may_be_refused_as_clients_say_it(build: Build, said: object) -> None:
    refused = TestClient(build()).post("/embed", json={"inputs": LONG, "truncate": said})
    assert (refused.status_code, refused.json()["code"]) == (422, "too_long")


def test_start_and_end_are_the_ends_that_are_cut(build: Build) -> None:
    client = TestClient(build())
    text = "once upon a time " + LONG + " they lived happily"

    def vector(**fields: object) -> list[float]:
        found: list[list[float]] = client.post("/embed", json={"inputs": text, **fields}).json()
        return found[0]

    left = vector(truncate=True, truncation_direction="left")
    right = vector(truncate=True, truncation_direction="right")
    assert left != right
    assert vector(truncate="START") == vector(truncate=True, truncation_direction="LEFT") == left
    assert vector(truncate="End") == vector(truncate=True, truncation_direction="Right") == right
    assert vector(truncate="END", truncation_direction="Left") == left


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"pooling": "CLS"}, {"pooling": "cls"}),
        ({"pooling": "Max", "normalize": None}, {"pooling": "max"}),
    ],
)
def test_choices_may_be_in_capitals(
    build: Build, fields: dict[str, object], same: dict[str, object]
) -> None:
    client = TestClient(build())
    one, other = (client.post("/embed", json={"inputs": "a", **own}) for own in (fields, same))
    assert one.status_code == 200
    assert one.json() == other.json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": LONG}),
        ("/embed", {"inputs": [LONG, "a"], "truncate": None}),
        ("/v1/embeddings", {"input": LONG}),
        ("/fill-mask", {"inputs": f"[MASK] {LONG}"}),
        ("/fill-mask", {"inputs": f"[MASK] {LONG}", "parameters": {"top_k": 2, "truncate": None}}),
        ("/nsp", {"inputs": ["a", LONG]}),
        ("/models/reviews/predict", {"inputs": LONG}),
        ("/models/names/token-classification", {"inputs": LONG}),
    ],
)
def test_auto_truncate_is_the_default_of_every_route_that_cuts(
    build: Build, path: str, body: dict[str, Any]
) -> None:
    cutting, plain = TestClient(build(auto_truncate=True)), TestClient(build())
    assert cutting.post(path, json=body).status_code == 200
    assert plain.post(path, json=body).json().get("code", "too_long") == "too_long"
    parameters = body.get("parameters", {}) if "parameters" in body else None
    never = {"truncate": False}
    if path.endswith(("fill-mask", "token-classification")):
        refused = cutting.post(path, json=body | {"parameters": (parameters or {}) | never})
    else:
        refused = cutting.post(path, json=body | never)
    assert refused.is_client_error


def test_a_way_to_cut_is_a_truth_value() -> None:
    assert [bool(way) for way in Cutting] == [False, True, True]
