"""POST /predict: texts and pairs in TEI's shapes, and in that of Hugging Face's client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import TypeAdapter

from server.http.routes.predict import Prediction
from tests.running_server import RunningServer

TEXT = "What a wonderful film!"
PAIR = ["Where does Clara live?", "Clara lives in Berkeley."]
LONG = "what a great film " * 20


def predict(
    server: RunningServer, inputs: object, *, path: str = "/predict", **fields: object
) -> Any:
    response = server.post(path, {"inputs": inputs, **fields})
    assert response.status_code == 200, response.text
    shape = list[Prediction] | list[list[Prediction]]
    TypeAdapter(shape).validate_json(response.content)
    return response.json()


def test_one_text_answers_its_labels_best_first(classifier_server: RunningServer) -> None:
    labels = predict(classifier_server, TEXT)
    assert [set(label) for label in labels] == [{"score", "label"}] * 3
    assert labels[0]["label"] == "positive"
    assert labels[0]["score"] > 0.9
    assert sum(label["score"] for label in labels) == pytest.approx(1)


def test_a_list_of_one_string_is_a_text_and_of_two_a_pair(
    classifier_server: RunningServer,
) -> None:
    assert predict(classifier_server, [TEXT]) == predict(classifier_server, TEXT)
    path = "/models/matches/predict"
    (match,) = predict(classifier_server, PAIR, path=path)
    assert match["score"] > 0.9
    as_object = {"text": PAIR[0], "text_pair": PAIR[1]}
    assert predict(classifier_server, as_object, path=path) == [match]
    # Two texts are something else, and so is the other order.
    both = predict(classifier_server, [[PAIR[0]], [PAIR[1]]], path=path)
    assert [len(labels) for labels in both] == [1, 1]
    assert predict(classifier_server, PAIR[::-1], path=path) != [match]


def test_a_list_of_lists_mixes_texts_and_pairs_in_order(classifier_server: RunningServer) -> None:
    path = "/models/matches/predict"
    inputs = [[TEXT], PAIR, {"text": PAIR[0], "text_pair": PAIR[1]}, ["Omar"]]
    answers = predict(classifier_server, inputs, path=path)
    for one, answer in zip(inputs, answers, strict=True):
        alone = predict(classifier_server, one, path=path)
        assert [label["score"] for label in answer] == pytest.approx(
            [label["score"] for label in alone], abs=1e-6
        )
    assert predict(classifier_server, [[TEXT]], path=path) == [
        predict(classifier_server, TEXT, path=path)
    ]


def test_raw_scores_are_logits(classifier_server: RunningServer) -> None:
    logits = predict(classifier_server, TEXT, raw_scores=True)
    labels = predict(classifier_server, TEXT, raw_scores=False)
    assert [one["label"] for one in logits] == [one["label"] for one in labels]
    assert sum(one["score"] for one in logits) != pytest.approx(1)
    assert predict(classifier_server, TEXT, raw_scores=None) == labels


def test_each_model_scores_as_it_was_trained(classifier_server: RunningServer) -> None:
    both = predict(classifier_server, "The soup and the train.", path="/models/topics/predict")
    assert sum(label["score"] for label in both) > 1.5
    (stars,) = predict(classifier_server, TEXT, path="/models/stars/predict")
    assert stars == {"score": pytest.approx(5, abs=0.5), "label": "stars"}


def test_parameters_make_the_answer_that_huggingface_reads(
    classifier_server: RunningServer,
) -> None:
    labels = predict(classifier_server, TEXT)
    assert predict(classifier_server, TEXT, parameters={}) == [labels]
    assert predict(classifier_server, [TEXT], parameters={"top_k": 1}) == [labels[:1]]
    assert predict(classifier_server, [[TEXT]], parameters={"top_k": 2}) == [labels[:2]]
    assert predict(classifier_server, TEXT, parameters=None) == labels
    none = {"function_to_apply": "none"}
    logits = predict(classifier_server, TEXT, raw_scores=True)
    assert predict(classifier_server, TEXT, parameters=none) == [logits]


def test_with_parameters_two_strings_could_be_either(classifier_server: RunningServer) -> None:
    response = classifier_server.post("/predict", {"inputs": ["a", "b"], "parameters": {}})
    error = response.json()
    assert (response.status_code, error["param"]) == (422, "inputs")
    assert '[["a"], ["b"]]' in error["error"]


@pytest.mark.parametrize(
    ("inputs", "code", "param"),
    [
        (3, "wrong_type", "inputs"),
        ([], "invalid_parameter", "inputs"),
        (["a", "b", "c"], "invalid_parameter", "inputs"),
        ([["a", "b", "c"]], "invalid_parameter", "inputs[0]"),
        ([["a"], []], "invalid_parameter", "inputs[1]"),
        ([["a"], "b"], "wrong_type", "inputs[1]"),
        (["a", ["b"]], "wrong_type", "inputs[1]"),
        ([["a"], [3]], "wrong_type", "inputs[1][0]"),
        ({"text": "a"}, "wrong_type", "inputs.text_pair"),
        ("", "empty_text", "inputs"),
        (["a", " "], "empty_text", "inputs"),
        ([["a"], ["a", ""]], "empty_text", "inputs[1]"),
        ([["a"]] * 2049, "too_many_inputs", "inputs"),
    ],
)
def test_what_is_no_text_or_pair_is_refused_by_name(
    classifier_server: RunningServer, inputs: object, code: str, param: str
) -> None:
    response = classifier_server.post("/predict", {"inputs": inputs})
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)


def test_three_strings_are_told_how_to_send_several_texts(
    classifier_server: RunningServer,
) -> None:
    response = classifier_server.post("/predict", {"inputs": ["a", "b", "c"]})
    assert '[["a"], ["b"]]' in response.json()["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"raw_scores": "yes"},
        {"truncation_direction": "up"},
        {"parameters": {"top_k": 0}},
        {"parameters": {"function_to_apply": "relu"}},
        {"parameters": {"labels": []}},
    ],
)
def test_unknown_options_are_refused(
    classifier_server: RunningServer, fields: dict[str, object]
) -> None:
    response = classifier_server.post("/predict", {"inputs": "a", **fields})
    assert (response.status_code, response.json()["error_type"]) == (422, "Validation")


def test_a_long_text_is_refused_or_cut_and_named(classifier_server: RunningServer) -> None:
    refused = classifier_server.post("/predict", {"inputs": [["a"], [LONG]]})
    error = refused.json()
    assert (refused.status_code, error["code"], error["param"]) == (422, "too_long", "inputs[1]")
    body = {"inputs": [["a"], [LONG]], "truncate": True, "truncation_direction": "Left"}
    cut = classifier_server.post("/predict", body)
    assert cut.status_code == 200
    assert cut.headers["x-truncated"] == "1"
    assert int(cut.headers["x-compute-tokens"]) == 3 + 40


def test_a_model_without_the_head_refuses(classifier_server: RunningServer) -> None:
    response = classifier_server.post("/models/names/predict", {"inputs": "a"})
    assert (response.status_code, response.json()["code"]) == (422, "missing_head")


def test_an_unknown_model_is_not_found(classifier_server: RunningServer) -> None:
    response = classifier_server.post("/models/nope/predict", {"inputs": "a"})
    assert (response.status_code, response.json()["code"]) == (404, "model_not_found")


def test_requests_are_counted_by_route_and_model(classifier_server: RunningServer) -> None:
    root = 'cloze_requests_total{model="reviews",route="/predict",status="200"}'
    named = 'cloze_requests_total{model="topics",route="/models/{model}/predict",status="200"}'
    before = classifier_server.metric(root), classifier_server.metric(named)
    response = classifier_server.post("/predict", {"inputs": TEXT})
    assert {"server-timing", "x-compute-tokens", "x-request-id"} <= set(response.headers)
    predict(classifier_server, TEXT, path="/models/topics/predict")
    after = classifier_server.metric(root), classifier_server.metric(named)
    assert after == (before[0] + 1, before[1] + 1)


def test_all_tasks_of_a_model_may_be_asked_at_once(classifier_server: RunningServer) -> None:
    bodies = [
        ("/predict", {"inputs": TEXT}),
        ("/fill-mask", {"inputs": "The [MASK] was dull."}),
        ("/nsp", {"inputs": PAIR}),
        ("/embed", {"inputs": TEXT}),
    ] * 12
    alone = [classifier_server.post(path, body).json() for path, body in bodies[:4]]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: classifier_server.post(*call).json(), bodies))
    for index, answer in enumerate(together):
        assert close(answer, alone[index % 4])


def close(one: Any, other: Any) -> bool:
    """Whether two answers are the same but for rounding."""
    if isinstance(one, float):
        return bool(one == pytest.approx(other, abs=1e-5))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    return bool(one == other)
