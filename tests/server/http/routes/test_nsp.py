"""POST /nsp: pairs in every accepted shape."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.nsp import NspAnswer
from tests.running_server import RunningServer

FOLLOWER = ("The farmer went out to milk the cows.", "He came back with two full buckets.")
STRANGER = ("The farmer went out to milk the cows.", "The treaty was signed in 1648.")


def read(server: RunningServer, inputs: object) -> Any:
    response = server.post("/nsp", {"inputs": inputs})
    assert response.status_code == 200, response.text
    TypeAdapter(NspAnswer | list[NspAnswer]).validate_json(response.content)
    return response.json()


def test_a_follower_is_told_from_a_stranger(server: RunningServer) -> None:
    follower, stranger = read(server, [list(FOLLOWER), list(STRANGER)])
    assert follower["probability"] > stranger["probability"]
    assert follower["is_next"] == (follower["probability"] > 0.5)
    assert stranger["is_next"] == (stranger["probability"] > 0.5)


def test_one_pair_answers_one_object_in_either_shape(server: RunningServer) -> None:
    text, text_pair = FOLLOWER
    as_object = read(server, {"text": text, "text_pair": text_pair})
    assert set(as_object) == {"is_next", "probability"}
    assert read(server, [text, text_pair]) == as_object


def test_a_list_may_mix_both_shapes_and_stays_a_list(server: RunningServer) -> None:
    text, text_pair = FOLLOWER
    pairs = [{"text": text, "text_pair": text_pair}, [text, text_pair]]
    first, second = read(server, pairs)
    assert first == pytest.approx(second)
    assert len(read(server, [[text, text_pair]])) == 1


def test_order_matters_to_a_pair(server: RunningServer) -> None:
    there, back = read(server, [list(FOLLOWER), list(reversed(FOLLOWER))])
    assert there["probability"] != back["probability"]


@pytest.mark.parametrize(
    ("inputs", "code", "param"),
    [
        ("one text", "wrong_type", "inputs"),
        (["one"], "invalid_parameter", "inputs"),
        (["a", "b", "c"], "invalid_parameter", "inputs"),
        ([], "invalid_parameter", "inputs"),
        ([["a", "b"], ["c"]], "invalid_parameter", "inputs[1]"),
        ([["a", "b"], {"text": "c"}], "wrong_type", "inputs[1].text_pair"),
        ({"text": "a", "text_pair": "b", "label": 0}, "wrong_type", "inputs.label"),
        (["a", ""], "empty_text", None),
    ],
)
def test_what_is_not_a_pair_is_refused_by_name(
    server: RunningServer, inputs: object, code: str, param: str | None
) -> None:
    response = server.post("/nsp", {"inputs": inputs})
    error = response.json()
    assert (response.status_code, error["code"]) == (422, code)
    assert param is None or error["param"] == param


def test_a_cut_pair_says_so(server: RunningServer) -> None:
    body = {"inputs": ["word " * 600, "A short one."], "truncate": True}
    response = server.post("/nsp", body)
    assert response.json()["truncated"] is True
    assert response.headers["x-truncated"] == "0"


def test_a_long_pair_is_refused_without_truncate(server: RunningServer) -> None:
    response = server.post("/nsp", {"inputs": ["word " * 600, "A short one."]})
    assert (response.status_code, response.json()["code"]) == (422, "too_long")
