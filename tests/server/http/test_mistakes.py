"""How mistakes in a body are told: in our words, with what was expected of the whole."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic_core import core_schema

from server.errors import InvalidParameter, ValidationError, WrongType
from server.http.mistakes import _WORDS
from server.http.routes.embed import EmbedBody
from server.http.routes.fill_mask import FillMaskBody
from server.http.routes.nsp import NspBody
from server.http.routes.openai import EmbeddingsBody
from server.http.routes.predict import PredictBody
from server.http.routes.question_answering import QuestionAnsweringBody
from server.http.routes.tokenize import TokenizeBody
from server.http.schemas import validated

TEXTS = "should be a string or a list of strings."
IDS = "should be a string, a list of strings, or lists of this model's token ids."
PAIR = '{"text", "text_pair"} or a list of two strings'
QUESTION = '{"question", "context"}'


def refused(body: type[BaseModel], value: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        validated(TypeAdapter(body), value)
    return caught.value


@pytest.mark.parametrize(
    ("body", "value", "place", "what", "whole"),
    [
        (FillMaskBody, ["a", ["b"]], "inputs[1]", "should be a string", f"inputs {TEXTS}"),
        (FillMaskBody, [None], "inputs[0]", "should be a string", f"inputs {TEXTS}"),
        (EmbedBody, [["a"], ["b", "c"]], "inputs[0][0]", "should be a whole number", IDS),
        (EmbedBody, [7, [8]], "inputs[1]", "should be a whole number", IDS),
        (EmbedBody, ["a", 7], "inputs[1]", "should be a string", IDS),
        (EmbedBody, [[1, 2], 3], "inputs[1]", "should be a list", IDS),
        (NspBody, [["a", 5]], "inputs[0][1]", "should be a string", f"inputs should be {PAIR}"),
        (NspBody, {"text": "a"}, "inputs.text_pair", "is required", f"inputs should be {PAIR}"),
        (TokenizeBody, ["a", 3.5], "inputs[1]", "should be a string or", "inputs should be"),
        (QuestionAnsweringBody, [{"question": "a"}], "inputs[0].context", "is required", QUESTION),
        (PredictBody, [["a"], 4], "inputs[1]", "should be a list of one or two", "inputs should"),
    ],
)
def test_a_list_of_the_wrong_kind_says_what_was_expected_of_the_whole(
    body: type[BaseModel], value: object, place: str, what: str, whole: str
) -> None:
    error = refused(body, {"inputs": value})
    first, _, second = error.message.partition("; ")
    assert isinstance(error, WrongType)
    assert error.param == place
    assert first.startswith(f"{place}: {what}")
    assert whole in second


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"top_k": "5"}, WrongType, "parameters.top_k: should be a whole number."),
        ({"top_k": 2.5}, WrongType, "parameters.top_k: should be a whole number."),
        ({"top_k": -3}, InvalidParameter, "parameters.top_k: should be 1 or more."),
        ({"normalize_targets": 1}, WrongType, "should be true or false."),
        ({"truncate": "middle"}, WrongType, "should be true, false, START, END or NONE."),
        ({"targets": []}, InvalidParameter, "parameters.targets: should have 1 entries or more."),
        ({"targets": {}}, WrongType, "should be a word, a list of words, or one list of words"),
        ({"secret": 1}, WrongType, "parameters.secret: is not a known field."),
    ],
)
def test_a_parameter_is_told_in_our_words(
    fields: dict[str, object], kind: type[ValidationError], told: str
) -> None:
    error = refused(FillMaskBody, {"inputs": "a", "parameters": fields})
    assert type(error) is kind
    assert told in error.message
    assert "nput should" not in error.message
    assert "valid" not in error.message


@pytest.mark.parametrize(
    ("body", "fields", "choices"),
    [
        (EmbedBody, {"pooling": "median"}, ("'mean'", "'cls'", "'lasttoken'")),
        (EmbedBody, {"truncation_direction": "up"}, ("'left'", "'right'")),
        (PredictBody, {"parameters": {"function_to_apply": "relu"}}, ("'softmax'", "'none'")),
    ],
)
def test_a_choice_is_told_with_what_there_is_to_choose(
    body: type[BaseModel], fields: dict[str, object], choices: tuple[str, ...]
) -> None:
    error = refused(body, {"inputs": "a", **fields})
    assert isinstance(error, InvalidParameter)
    assert all(choice in error.message for choice in choices)


def checks(schema: Any) -> typing.Iterator[str]:
    """The kinds of steps in pydantic's own description of a type."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema["type"]
        for part in schema.values():
            yield from checks(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from checks(part)


# What pydantic says when a step of such a kind finds something else.
SAID = {
    "str": "string_type",
    "int": "int_type",
    "bool": "bool_type",
    "list": "list_type",
    "dict": "dict_type",
    "model": "model_type",
    "literal": "literal_error",
    "enum": "enum",
}


@pytest.mark.parametrize(
    "body", [EmbedBody, EmbeddingsBody, FillMaskBody, NspBody, PredictBody, QuestionAnsweringBody]
)
def test_there_are_words_for_whatever_a_body_is_checked_by(body: type[BaseModel]) -> None:
    kinds = set(checks(TypeAdapter(body).core_schema)) & SAID.keys()
    assert {"str", "model"} <= kinds
    assert {SAID[kind] for kind in kinds} <= _WORDS.keys()


def test_only_mistakes_that_pydantic_knows_have_words_here() -> None:
    assert set(typing.get_args(core_schema.ErrorType)) >= _WORDS.keys()
