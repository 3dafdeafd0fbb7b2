"""POST /text-classification: the labels of /predict, always as a list of lists."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import InferenceClient

from tests.running_server import RunningServer

TEXT, OTHER = "What a wonderful film!", "The soup was dull."


def classify(server: RunningServer, inputs: object, **more: object) -> Any:
    response = server.post("/models/reviews/text-classification", {"inputs": inputs, **more})
    assert response.status_code == 200, response.text
    return response.json()


def predict(server: RunningServer, inputs: object, **more: object) -> Any:
    return server.post("/models/reviews/predict", {"inputs": inputs, **more}).json()


def test_one_text_is_answered_as_a_list_of_lists(classifier_server: RunningServer) -> None:
    assert classify(classifier_server, TEXT) == [predict(classifier_server, TEXT)]
    assert classify(classifier_server, [TEXT]) == [predict(classifier_server, TEXT)]


def test_two_strings_are_two_texts(classifier_server: RunningServer) -> None:
    found = classify(classifier_server, [TEXT, OTHER])
    assert found == predict(classifier_server, [[TEXT], [OTHER]])
    assert [labels[0]["label"] for labels in found] == ["positive", "negative"]


def test_pairs_are_sent_by_name(classifier_server: RunningServer) -> None:
    pair = {"text": TEXT, "text_pair": OTHER}
    wanted = predict(classifier_server, [TEXT, OTHER])
    assert classify(classifier_server, pair) == [wanted]
    assert classify(classifier_server, [pair, pair]) == [wanted, wanted]
    assert classify(classifier_server, TEXT) != [wanted]


def test_hugging_faces_client_reads_the_answer(classifier_server: RunningServer) -> None:
    url = f"{classifier_server.url}/models/reviews/text-classification"
    client = InferenceClient()
    found = client.text_classification(TEXT, model=url)
    assert [label.label for label in found] == ["positive", "negative", "neutral"]
    raw = client.text_classification(TEXT, model=url, function_to_apply="none", top_k=2)
    wanted = predict(classifier_server, TEXT, raw_scores=True)[:2]
    assert [(label.label, label.score) for label in raw] == [
        (label["label"], pytest.approx(label["score"])) for label in wanted
    ]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"inputs": [["a", "b"]]}, "inputs[0]"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": ["a", {"text": "b"}]}, "inputs[1].text_pair"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "parameters.top_k"),
        ({"inputs": ["a", "dull " * 60]}, "inputs[1]"),
    ],
)
def test_what_cannot_be_classified_is_refused_by_name(
    classifier_server: RunningServer, body: dict[str, object], param: str
) -> None:
    response = classifier_server.post("/models/reviews/text-classification", body)
    assert (response.status_code, response.json()["error"]["param"]) == (422, param)
