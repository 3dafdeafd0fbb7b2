"""How mistakes in a body are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_type_hints

import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter

from server.errors import InvalidParameter, ValidationError, WrongType
from server.http.routes import PER_MODEL, SHARED
from server.http.routes.fill_mask import FillMaskBody
from server.http.routes.nsp import NspBody
from server.http.routes.predict import PredictBody
from server.http.routes.token_classification import TokenClassificationBody
from server.http.schemas import validated

ADAPTER = TypeAdapter(FillMaskBody)


@pytest.mark.parametrize(
    ("value", "kind", "message", "param"),
    [
        ([], WrongType, "The body: should be a JSON object.", None),
        ({}, WrongType, "inputs: is required.", "inputs"),
        (
            {"inputs": None},
            WrongType,
            "inputs: should be a string or a list of strings.",
            "inputs",
        ),
        (
            {"inputs": ["a", 1]},
            WrongType,
            "inputs[1]: should be a string; inputs should be a string or a list of strings.",
            "inputs[1]",
        ),
        (
            {"inputs": "a", "parameters": {"top_k": 0}},
            InvalidParameter,
            "parameters.top_k: should be 1 or more.",
            "parameters.top_k",
        ),
        (
            {"inputs": "a", "parameters": {"\x1b[31m": 1}},
            WrongType,
            "parameters.(an unknown field): is not a known field.",
            "parameters.(an unknown field)",
        ),
    ],
)
def test_a_mistake_names_its_place_and_what_was_expected(
    value: object, kind: type[ValidationError], message: str, param: str | None
) -> None:
    with pytest.raises(kind) as caught:
        validated(ADAPTER, value)
    assert (caught.value.message, caught.value.param) == (message, param)


def test_the_first_wrong_text_of_many_ends_the_check() -> None:
    with pytest.raises(WrongType) as caught:
        validated(ADAPTER, {"inputs": [1] * 100_000})
    assert caught.value.message.startswith("inputs[0]: should be a string; inputs should be")
    assert ", and" not in caught.value.message


def lists(schema: object) -> Iterator[dict[str, Any]]:
    """All lists in pydantic's own description of a type."""
    if isinstance(schema, dict):
        if schema.get("type") == "list":
            yield schema
        for part in schema.values():
            yield from lists(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from lists(part)


BODIES = {
    route.path: body
    for router in (*PER_MODEL, *SHARED)
    for route in router.routes
    if isinstance(route, APIRoute) and (body := get_type_hints(route.endpoint).get("body"))
}


@pytest.mark.parametrize("path", BODIES)
def test_the_first_mistake_in_any_list_of_any_body_ends_its_check(path: str) -> None:
    found = list(lists(TypeAdapter(BODIES[path]).core_schema))
    assert found
    assert all(each.get("fail_fast") for each in found)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (PredictBody, {"inputs": ["a", *[None] * 60_000]}),
        (PredictBody, {"inputs": [["a", *[{}] * 60_000]]}),
        (NspBody, {"inputs": [["a", *[2.5] * 60_000]]}),
        (
            TokenClassificationBody,
            {"inputs": "a", "parameters": {"ignore_labels": [[]] * 60_000}},
        ),
    ],
)
def test_of_many_mistakes_one_is_told(body: type[BaseModel], value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        validated(TypeAdapter(body), value)
    # Beside it stands what was expected of the whole.
    assert caught.value.message.count(": should be") <= 1
    assert "; and " not in caught.value.message
    assert (caught.value.param or "").endswith(("[0]", "[1]", "[0][1]", "inputs[0]"))
