"""POST /token-classification: entities of texts in Hugging Face's shape."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.token_classification import FoundEntity
from tests.running_server import RunningServer

PATH = "/models/names/token-classification"
TEXT = "Clara lives in Berkeley, and Yuki Chen works in New York."
LONG = " ".join([TEXT] * 10)


def find(server: RunningServer, inputs: object, **parameters: object) -> Any:
    response = server.post(PATH, {"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    TypeAdapter(list[FoundEntity] | list[list[FoundEntity]]).validate_json(response.content)
    return response.json()


def test_a_text_answers_its_entities_with_their_places(classifier_server: RunningServer) -> None:
    entities = find(classifier_server, TEXT)
    assert [set(one) for one in entities] == [{"entity_group", "score", "word", "start", "end"}] * 4
    assert [(one["entity_group"], TEXT[one["start"] : one["end"]]) for one in entities] == [
        ("PER", "Clara"),
        ("LOC", "Berkeley"),
        ("PER", "Yuki Chen"),
        ("LOC", "New York"),
    ]
    bare = classifier_server.post(PATH, {"inputs": TEXT})
    assert bare.json() == entities


def test_without_aggregation_tokens_are_numbered(classifier_server: RunningServer) -> None:
    first, second, *_ = find(classifier_server, TEXT, aggregation_strategy="none")
    assert set(first) == {"entity", "index", "score", "word", "start", "end"}
    assert [(one["entity"], one["word"], one["index"]) for one in (first, second)] == [
        ("B-PER", "clar", 1),
        ("I-PER", "##a", 2),
    ]


def test_a_list_answers_a_list_per_text(classifier_server: RunningServer) -> None:
    assert find(classifier_server, [TEXT]) == [find(classifier_server, TEXT)]
    none, some = find(classifier_server, ["The film was great.", "Omar lives in Oslo."])
    assert [one["word"] for one in some] == ["omar", "oslo"]
    assert not {"PER", "LOC"} & {one["entity_group"] for one in none}


def test_null_stands_for_the_default(classifier_server: RunningServer) -> None:
    nulls = {"aggregation_strategy": None, "ignore_labels": None, "stride": None, "truncate": None}
    assert find(classifier_server, TEXT, **nulls) == find(classifier_server, TEXT)


def test_offsets_count_code_points(classifier_server: RunningServer) -> None:
    text = "\U0001f600\U0001f600 Clara lives in Berkeley."
    entities = find(classifier_server, text)
    assert "Berkeley" in [text[one["start"] : one["end"]] for one in entities]


def test_a_long_text_is_refused_cut_or_read_in_parts(classifier_server: RunningServer) -> None:
    refused = classifier_server.post(PATH, {"inputs": LONG})
    assert (refused.status_code, refused.json()["code"]) == (422, "too_long")
    cut = classifier_server.post(PATH, {"inputs": LONG, "parameters": {"truncate": True}})
    assert cut.headers["x-truncated"] == "0"
    parts = classifier_server.post(PATH, {"inputs": LONG, "parameters": {"stride": 10}})
    assert "x-truncated" not in parts.headers
    assert parts.json()[-1]["end"] > 9 * len(TEXT) > cut.json()[-1]["end"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"inputs": 3}, "wrong_type", "inputs"),
        ({"inputs": ["a", ""]}, "empty_text", "inputs[1]"),
        ({"inputs": []}, "invalid_parameter", "inputs"),
        (
            {"inputs": "a", "parameters": {"aggregation_strategy": "all"}},
            "invalid_parameter",
            "parameters.aggregation_strategy",
        ),
        ({"inputs": "a", "parameters": {"stride": 38}}, "invalid_parameter", "parameters.stride"),
        ({"inputs": "a", "parameters": {"stride": -1}}, "invalid_parameter", "parameters.stride"),
        (
            {"inputs": "a", "parameters": {"stride": 2, "aggregation_strategy": "none"}},
            "invalid_parameter",
            "parameters.stride",
        ),
        ({"inputs": "a " * 2200, "parameters": {"stride": 37}}, "too_many_inputs", "inputs"),
        ({"inputs": "a", "parameters": {"top_k": 3}}, "wrong_type", "parameters.top_k"),
    ],
)
def test_mistakes_are_named(
    classifier_server: RunningServer, body: object, code: str, param: str
) -> None:
    response = classifier_server.post(PATH, body)
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)


def test_a_model_without_the_head_refuses(classifier_server: RunningServer) -> None:
    response = classifier_server.post("/models/answers/token-classification", {"inputs": "a"})
    assert (response.status_code, response.json()["code"]) == (422, "missing_head")
