"""POST /question-answering: answers in Hugging Face's shape."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.question_answering import FoundAnswer, QuestionAnsweringParameters
from tests.running_server import RunningServer

PATH = "/models/answers/question-answering"
CLARA = {"question": "Where does Clara live?", "context": "Clara lives in Berkeley."}
OMAR = {"question": "Who lives in Oslo?", "context": "Omar lives in Oslo."}
FILLER = "The film was great and the soup was awful. "


def ask(server: RunningServer, inputs: object, **parameters: object) -> Any:
    response = server.post(PATH, {"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    one = FoundAnswer | list[FoundAnswer]
    TypeAdapter(one | list[one]).validate_json(response.content)
    return response.json()


def test_a_question_answers_one_passage(classifier_server: RunningServer) -> None:
    answer = ask(classifier_server, CLARA)
    assert answer == {"score": answer["score"], "start": 15, "end": 23, "answer": "Berkeley"}
    assert 0.9 < answer["score"] <= 1
    bare = classifier_server.post(PATH, {"inputs": CLARA})
    assert bare.json() == answer


def test_a_list_answers_each_and_stays_a_list(classifier_server: RunningServer) -> None:
    clara, omar = ask(classifier_server, [CLARA, OMAR])
    assert (clara["answer"], omar["answer"]) == ("Berkeley", "Omar")
    assert ask(classifier_server, [CLARA]) == [ask(classifier_server, CLARA)]


def test_top_k_above_one_answers_a_list(classifier_server: RunningServer) -> None:
    best = ask(classifier_server, CLARA)
    several = ask(classifier_server, CLARA, top_k=3)
    assert len(several) == 3
    assert several[0]["answer"] == best["answer"]
    nested = ask(classifier_server, [CLARA, OMAR], top_k=2)
    assert [len(answers) for answers in nested] == [2, 2]
    assert ask(classifier_server, CLARA, top_k=1) == best


def test_a_long_context_is_read_to_its_end(classifier_server: RunningServer) -> None:
    context = FILLER * 30 + CLARA["context"]
    body = {"inputs": CLARA | {"context": context}, "parameters": {"top_k": 50}}
    response = classifier_server.post(PATH, body)
    places = {answer["answer"]: answer["start"] for answer in response.json()}
    assert places["Berkeley"] == len(context) - len("Berkeley.")
    assert int(response.headers["x-compute-tokens"]) > 300
    assert "x-truncated" not in response.headers


def test_null_stands_for_the_default(classifier_server: RunningServer) -> None:
    nulls = dict.fromkeys(QuestionAnsweringParameters.model_fields)
    assert len(nulls) == 7
    assert ask(classifier_server, CLARA, **nulls) == ask(classifier_server, CLARA)


def test_there_may_be_no_answer(classifier_server: RunningServer) -> None:
    parameters = {"top_k": 50, "max_answer_len": 1, "handle_impossible_answer": True}
    answers = ask(classifier_server, CLARA, **parameters)
    assert [one["start"] for one in answers if not one["answer"]] == [0]


def test_a_question_that_was_cut_is_told(classifier_server: RunningServer) -> None:
    long = CLARA | {"question": "where " * 50}
    refused = classifier_server.post(PATH, {"inputs": long})
    error = refused.json()
    assert (refused.status_code, error["code"]) == (422, "too_long")
    assert error["param"] == "inputs.question"
    body = {"inputs": [CLARA, long], "parameters": {"max_question_len": 9}}
    assert classifier_server.post(PATH, body).headers["x-truncated"] == "1"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"inputs": "a"}, "wrong_type", "inputs"),
        ({"inputs": []}, "invalid_parameter", "inputs"),
        ({"inputs": {"question": "a"}}, "wrong_type", "inputs.context"),
        ({"inputs": [CLARA, {"context": "a"}]}, "wrong_type", "inputs[1].question"),
        ({"inputs": [CLARA, CLARA | {"context": " "}]}, "empty_text", "inputs[1].context"),
        ({"inputs": CLARA | {"question": ""}}, "empty_text", "inputs.question"),
        ({"inputs": CLARA, "parameters": {"top_k": 0}}, "invalid_parameter", "parameters.top_k"),
        (
            {"inputs": CLARA, "parameters": {"max_seq_len": 41}},
            "invalid_parameter",
            "parameters.max_seq_len",
        ),
        ({"inputs": CLARA, "parameters": {"max_seq_len": 5}}, "too_long", "inputs.question"),
        (
            {"inputs": CLARA, "parameters": {"doc_stride": 31}},
            "invalid_parameter",
            "parameters.doc_stride",
        ),
        (
            {"inputs": CLARA | {"context": "a " * 2200}, "parameters": {"doc_stride": 30}},
            "too_many_inputs",
            "inputs",
        ),
    ],
)
def test_mistakes_are_named(
    classifier_server: RunningServer, body: object, code: str, param: str
) -> None:
    response = classifier_server.post(PATH, body)
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)


def test_a_model_without_the_head_refuses(classifier_server: RunningServer) -> None:
    response = classifier_server.post("/models/names/question-answering", {"inputs": CLARA})
    assert (response.status_code, response.json()["code"]) == (422, "missing_head")
