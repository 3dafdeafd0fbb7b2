"""How mistakes in a body are told."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from server.errors import InvalidParameter, ValidationError, WrongType
from server.http.routes.fill_mask import FillMaskBody
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
        ({"inputs": ["a", 1]}, WrongType, "inputs[1]: should be a valid string.", "inputs[1]"),
        (
            {"inputs": "a", "parameters": {"top_k": 0}},
            InvalidParameter,
            "parameters.top_k: should be greater than or equal to 1.",
            "parameters.top_k",
        ),
        (
            {"inputs": "a", "\x1b[31m": 1},
            WrongType,
            "(an unknown field): is not a known field.",
            "(an unknown field)",
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
    assert caught.value.message == "inputs[0]: should be a valid string."
