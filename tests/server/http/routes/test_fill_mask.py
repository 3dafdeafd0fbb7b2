"""POST /fill-mask: Hugging Face's shapes, over a real socket."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.fill_mask import FillMaskAnswer
from tests.running_server import RunningServer

FRANCE = "Paris is the [MASK] of France."
TWO_MASKS = "The [MASK] sat on the [MASK]."
ONE_PIECE = "capital"
SEVERAL_PIECES = "xylophonists"


def fill(server: RunningServer, inputs: object, **parameters: object) -> Any:
    response = server.post("/fill-mask", {"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    TypeAdapter(FillMaskAnswer).validate_json(response.content)
    return response.json()


def refusal(server: RunningServer, body: object) -> tuple[int, str, str | None]:
    response = server.post("/fill-mask", body)
    error = response.json()
    return response.status_code, error["code"], error["param"]


def test_paris_is_the_capital_of_france(server: RunningServer) -> None:
    assert fill(server, FRANCE)[0]["token_str"] == "capital"


def test_one_text_with_one_mask_answers_a_list_of_candidates(server: RunningServer) -> None:
    candidates = fill(server, FRANCE)
    assert [set(candidate) for candidate in candidates] == [
        {"score", "token", "token_str", "sequence"}
    ] * 5
    scores = [candidate["score"] for candidate in candidates]
    assert scores == sorted(scores, reverse=True)
    assert candidates[0]["sequence"] == "paris is the capital of france."


def test_one_text_with_two_masks_answers_a_list_for_each_mask(server: RunningServer) -> None:
    masks = fill(server, TWO_MASKS, top_k=3)
    assert [len(candidates) for candidates in masks] == [3, 3]


def test_a_list_answers_one_result_for_each_text(server: RunningServer) -> None:
    one_mask, two_masks = fill(server, [FRANCE, TWO_MASKS], top_k=2)
    assert one_mask[0]["token_str"] == "capital"
    assert [len(candidates) for candidates in two_masks] == [2, 2]


def test_a_list_of_one_text_stays_a_list(server: RunningServer) -> None:
    assert fill(server, [FRANCE]) == [fill(server, FRANCE)]


def test_top_k_of_one_answers_one_candidate(server: RunningServer) -> None:
    assert len(fill(server, FRANCE, top_k=1)) == 1


def test_null_parameters_stand_for_the_defaults(server: RunningServer) -> None:
    body = {"inputs": FRANCE, "parameters": {"top_k": None, "targets": None, "truncate": None}}
    assert server.post("/fill-mask", body).json() == fill(server, FRANCE)
    assert server.post("/fill-mask", {"inputs": FRANCE, "parameters": None}).is_success


def test_options_are_ignored(server: RunningServer) -> None:
    options = {"wait_for_model": True, "retries": 3, "x": None, "name": "a"}
    body = {"inputs": FRANCE, "options": options}
    assert server.post("/fill-mask", body).json() == fill(server, FRANCE)


@pytest.mark.parametrize("value", [[], {}, [2**60], 2**63, {"a": 10**40}])
def test_options_are_plain_values(server: RunningServer, value: object) -> None:
    answer = server.post("/fill-mask", {"inputs": FRANCE, "options": {"x": value}})
    assert answer.status_code in {400, 422}


def test_targets_are_scored_over_the_whole_vocabulary(server: RunningServer) -> None:
    best = fill(server, FRANCE)[0]
    targets = fill(server, FRANCE, targets=["heart", ONE_PIECE])
    assert [target["token_str"] for target in targets] == [ONE_PIECE, "heart"]
    assert math.isclose(targets[0]["score"], best["score"], rel_tol=1e-4)


def test_one_target_may_be_a_plain_string(server: RunningServer) -> None:
    assert fill(server, FRANCE, targets=ONE_PIECE) == fill(server, FRANCE, targets=[ONE_PIECE])


def test_normalized_targets_sum_to_one(server: RunningServer) -> None:
    targets = fill(server, FRANCE, targets=["heart", ONE_PIECE], normalize_targets=True)
    assert math.isclose(sum(target["score"] for target in targets), 1, rel_tol=1e-5)


def test_each_text_may_have_targets_of_its_own(server: RunningServer) -> None:
    first, second = fill(server, [FRANCE, FRANCE], targets=[[ONE_PIECE], ["heart"]])
    assert first[0]["token_str"] == ONE_PIECE
    assert second[0]["token_str"] == "heart"


def test_target_lists_must_be_as_many_as_texts(server: RunningServer) -> None:
    body = {"inputs": [FRANCE, FRANCE], "parameters": {"targets": [["heart"]]}}
    assert refusal(server, body) == (422, "invalid_parameter", "parameters.targets")


def test_a_target_of_several_pieces_is_scored_as_a_whole_word(server: RunningServer) -> None:
    (target,) = fill(server, FRANCE, targets=[SEVERAL_PIECES])
    assert target["scored_as"] == "whole_word"
    assert target["token"] is None
    assert len(target["tokens"]) > 1
    assert target["token_str"] == SEVERAL_PIECES


def test_a_text_is_filled_jointly(server: RunningServer) -> None:
    fillings = fill(server, TWO_MASKS, joint=True, top_k=3)
    fields = {"score", "log_probability", "tokens", "token_strs", "sequence", "order"}
    assert [set(filling) for filling in fillings] == [fields] * 3
    for filling in fillings:
        assert math.isclose(filling["score"], math.exp(filling["log_probability"]))
        assert filling["order"] == [0, 1]
        assert len(filling["tokens"]) == 2
        first, second = filling["token_strs"]
        assert filling["sequence"] == f"the {first} sat on the {second}."
    assert len(fill(server, TWO_MASKS, joint=True)) == 5


@pytest.mark.parametrize("order", ["left_to_right", "confidence"])
def test_texts_are_filled_jointly_in_an_order(server: RunningServer, order: str) -> None:
    texts = [FRANCE, TWO_MASKS]
    together = fill(server, texts, joint=True, order=order, num_beams=2, top_k=2)
    assert [len(fillings) for fillings in together] == [2, 2]
    assert [sorted(fillings[0]["order"]) for fillings in together] == [[0], [0, 1]]
    (listed,) = fill(server, [FRANCE], joint=True, order=order, num_beams=2)
    assert [one["tokens"] for one in listed] == [one["tokens"] for one in together[0]]
    alone = fill(server, FRANCE, top_k=2)
    for one, other in zip(together[0], alone, strict=True):
        assert (one["tokens"], one["sequence"]) == ([other["token"]], other["sequence"])
        assert math.isclose(one["score"], other["score"], rel_tol=1e-4)


def test_all_rounds_of_a_joint_filling_are_counted(server: RunningServer) -> None:
    def counted() -> float:
        lines = server.get("/metrics").text.splitlines()
        return float(next(line for line in lines if "cloze_tokens_total{" in line).split()[1])

    before = counted()
    body = {"inputs": TWO_MASKS, "parameters": {"joint": True, "num_beams": 4}}
    answer = server.post("/fill-mask", body)
    assert answer.headers["x-compute-tokens"] == str(9 * (1 + 4))
    assert counted() - before >= 9 * (1 + 4)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"joint": True, "targets": ["heart"]}, "targets"),
        ({"joint": True, "targets": [["heart"]]}, "targets"),
        ({"joint": True, "normalize_targets": True}, "targets"),
        ({"joint": True, "order": "right_to_left"}, "order"),
        ({"joint": True, "num_beams": 0}, "num_beams"),
        ({"joint": True, "num_beams": 65}, "num_beams"),
        ({"joint": True, "num_beams": 3, "top_k": 4}, "top_k"),
        ({"joint": True, "top_k": 65}, "top_k"),
        ({"num_beams": 5}, "num_beams"),
        ({"joint": False, "order": "confidence"}, "order"),
    ],
)
def test_what_says_nothing_of_a_joint_filling_is_refused(
    server: RunningServer, parameters: dict[str, object], param: str
) -> None:
    body = {"inputs": FRANCE, "parameters": parameters}
    assert refusal(server, body) == (422, "invalid_parameter", f"parameters.{param}")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"inputs": "No blank here."}, 422, "no_mask", "inputs"),
        ({"inputs": [FRANCE, "No blank here."]}, 422, "no_mask", "inputs[1]"),
        ({"inputs": ""}, 422, "empty_text", "inputs"),
        ({"inputs": [FRANCE, ""]}, 422, "empty_text", "inputs[1]"),
        ({"inputs": []}, 422, "invalid_parameter", "inputs"),
        ({"inputs": FRANCE + " word" * 2000}, 422, "too_long", "inputs"),
        ({"inputs": "[MASK] " * 600}, 422, None, "inputs"),
        ({"inputs": 7}, 422, "wrong_type", "inputs"),
        ({"inputs": [FRANCE, 7]}, 422, "wrong_type", "inputs[1]"),
        ({}, 422, "wrong_type", "inputs"),
        ([], 422, "wrong_type", None),
        ({"inputs": FRANCE, "parameters": {"top_k": 0}}, 422, "invalid_parameter", None),
        ({"inputs": FRANCE, "parameters": {"top_k": "5"}}, 422, "wrong_type", None),
        ({"inputs": FRANCE, "parameters": {"topk": 5}}, 422, "wrong_type", "parameters.topk"),
        ({"inputs": FRANCE, "parameters": {"topk": 5}}, 422, "wrong_type", None),
        ({"inputs": [FRANCE] * 2049}, 422, "too_many_inputs", "inputs"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    server: RunningServer, body: object, status: int, code: str | None, param: str | None
) -> None:
    found = refusal(server, body)
    assert found[0] == status
    assert code is None or found[1] == code
    assert param is None or found[2] == param


def test_a_search_that_costs_too_much_is_refused(server: RunningServer) -> None:
    body = {"inputs": "[MASK] " * 120, "parameters": {"joint": True, "num_beams": 64}}
    assert refusal(server, body) == (422, "too_many_tokens", "inputs")


def test_too_many_masks_are_refused(server: RunningServer) -> None:
    body = {"inputs": ["[MASK] [MASK]"] * 300}
    assert refusal(server, body)[:2] == (422, "too_many_masks")


def test_truncation_that_would_drop_a_mask_is_refused(server: RunningServer) -> None:
    body = {"inputs": "word " * 2000 + "[MASK]", "parameters": {"truncate": True}}
    assert refusal(server, body) == (422, "mask_truncated", "inputs")


def test_truncation_is_reported_by_index(server: RunningServer) -> None:
    long = FRANCE + " word" * 2000
    body = {"inputs": [FRANCE, long], "parameters": {"truncate": True}}
    response = server.post("/fill-mask", body)
    assert response.headers["x-truncated"] == "1"
    assert "x-truncated" not in server.post("/fill-mask", {"inputs": FRANCE}).headers


def test_an_answer_says_what_it_took(server: RunningServer) -> None:
    headers = server.post("/fill-mask", {"inputs": FRANCE}).headers
    assert int(headers["x-compute-tokens"]) >= 8
    stages = [part.split(";")[0] for part in headers["server-timing"].split(", ")]
    assert stages == ["tokenise", "queue", "compute"]
