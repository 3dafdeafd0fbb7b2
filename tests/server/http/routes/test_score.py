"""POST /score: how likely texts are, over a real socket."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.score import TextScore
from tests.running_server import RunningServer

TEXT = "The xylophonists played."
ANSWER: TypeAdapter[TextScore | list[TextScore]] = TypeAdapter(TextScore | list[TextScore])


def score(server: RunningServer, inputs: object, **parameters: object) -> Any:
    response = server.post("/score", {"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    ANSWER.validate_json(response.content)
    return response.json()


def test_a_text_is_answered_with_its_tokens(server: RunningServer) -> None:
    found = score(server, TEXT)
    assert set(found) == {"score", "token_count", "pseudo_perplexity", "tokens"}
    logs = [token["log_probability"] for token in found["tokens"]]
    assert found["token_count"] == len(logs)
    assert math.isclose(found["score"], sum(logs))
    assert math.isclose(found["pseudo_perplexity"], math.exp(-sum(logs) / len(logs)))
    assert all(log <= 0 for log in logs)
    assert "".join(TEXT[token["start"] : token["stop"]] for token in found["tokens"]) == (
        TEXT.replace(" ", "")
    )


def test_a_list_is_answered_with_one_score_for_each_text(server: RunningServer) -> None:
    together = score(server, [TEXT, "He played."])
    for one, text in zip(together, [TEXT, "He played."], strict=True):
        assert one["score"] == pytest.approx(score(server, text)["score"], abs=0.05)  # int8
    assert [one["tokens"][0]["token"] for one in together] == ["the", "he"]
    assert len(score(server, [TEXT])) == 1


def test_tokens_may_be_left_out(server: RunningServer) -> None:
    assert set(score(server, TEXT, return_tokens=False)) == {
        "score",
        "token_count",
        "pseudo_perplexity",
    }


def test_words_of_several_pieces_score_lower_from_left_to_right(server: RunningServer) -> None:
    usual, within = (score(server, TEXT, pll_metric=m) for m in ("original", "within_word_l2r"))
    assert within["score"] < usual["score"] - 1
    alike = [token["word"] != 1 for token in usual["tokens"]]
    for same, one, other in zip(alike, usual["tokens"], within["tokens"], strict=True):
        assert one["id"] == other["id"]
        if same:
            assert one["log_probability"] == pytest.approx(other["log_probability"], abs=1e-3)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("She has written a letter.", "She has wrote a letter."),
        ("The keys to the cabinet are on the table.", "The keys to the cabinet is on the table."),
    ],
)
def test_the_acceptable_sentence_scores_higher(
    server: RunningServer, better: str, worse: str
) -> None:
    one, other = score(server, [better, worse])
    assert one["token_count"] == other["token_count"]
    assert one["score"] > other["score"]
    assert one["pseudo_perplexity"] < other["pseudo_perplexity"]


def test_null_parameters_stand_for_the_defaults(server: RunningServer) -> None:
    plain = server.post("/score", {"inputs": TEXT}).json()
    nulls = {"pll_metric": None, "return_tokens": None, "truncate": None}
    assert score(server, TEXT, **nulls)["tokens"][3]["id"] == plain["tokens"][3]["id"]
    assert server.post("/score", {"inputs": TEXT, "parameters": None}).is_success


def test_copies_are_counted_as_tokens(server: RunningServer) -> None:
    headers = server.post("/score", {"inputs": "He played."}).headers
    assert headers["x-compute-tokens"] == str(3 * 5)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"inputs": ""}, "empty_text", "inputs"),
        ({"inputs": ["a", "[MASK]"]}, "empty_text", "inputs[1]"),
        ({"inputs": []}, "invalid_parameter", "inputs"),
        ({"inputs": 7}, "wrong_type", "inputs"),
        ({"inputs": ["a " * 500] * 3}, "too_many_tokens", "inputs"),
        ({"inputs": "a " * 600}, "too_long", "inputs"),
        ({"inputs": TEXT, "parameters": {"pll_metric": "l2r"}}, "invalid_parameter", None),
        ({"inputs": TEXT, "parameters": {"targets": ["a"]}}, "wrong_type", "parameters.targets"),
    ],
)
def test_what_cannot_be_scored_is_refused_by_name(
    server: RunningServer, body: object, code: str, param: str | None
) -> None:
    response = server.post("/score", body)
    error = response.json()
    assert (response.status_code, error["code"]) == (422, code)
    assert param is None or error["param"] == param


def test_a_model_that_fills_no_masks_says_so(two_model_server: RunningServer) -> None:
    response = two_model_server.post("/models/minilm/score", {"inputs": TEXT})
    assert response.json()["code"] == "missing_head"
