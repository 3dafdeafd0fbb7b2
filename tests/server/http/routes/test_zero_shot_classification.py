"""POST /zero-shot-classification, against the pipeline of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from tests.running_server import RunningServer
from tests.server.http.routes.conftest import INFERENCE

PARITY = 1e-5  # largest difference of a score in float32
TEXTS = ["the cat sat on the mat", "a", "paris " * 3]
LABELS = ["cat", "the man in town", "naïve"]
TEMPLATES = (None, "it is the {}, and ran.")
LONG = "dull " * 60


def path(name: str) -> str:
    return f"/models/{name}/zero-shot-classification"


def classify(server: RunningServer, name: str, inputs: object, **parameters: object) -> Any:
    response = server.post(path(name), {"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", INFERENCE)
def test_scores_are_those_of_transformers(
    library_server: RunningServer,
    library: Callable[[str], Any],
    name: str,
    template: str | None,
    several: bool,
) -> None:
    named = {"hypothesis_template": template} if template else {}
    for labels in (LABELS, LABELS[:1]):
        wanted = library(name)(TEXTS, candidate_labels=labels, multi_label=several, **named)
        found = classify(
            library_server, name, TEXTS, candidate_labels=labels, multi_label=several, **named
        )
        for one, other in zip(found, wanted, strict=True):
            assert [label["label"] for label in one] == other["labels"]
            scores = [label["score"] for label in one]
            assert scores == pytest.approx(other["scores"], abs=PARITY)


def test_only_the_text_is_cut_as_transformers_cuts_it(
    library_server: RunningServer, library: Callable[[str], Any]
) -> None:
    name, text = "entailment-last", "the dog and the cat ran to town " * 6
    body = {"inputs": [text, "a"], "parameters": {"candidate_labels": LABELS}}
    refused = library_server.post(path(name), body).json()
    assert (refused["code"], refused["param"]) == ("too_long", "inputs[0]")
    cut = library_server.post(path(name), body | {"truncate": True})
    assert cut.headers["x-truncated"] == "0"
    wanted = library(name)([text, "a"], candidate_labels=LABELS)
    for one, other in zip(cut.json(), wanted, strict=True):
        assert [label["label"] for label in one] == other["labels"]
        assert [label["score"] for label in one] == pytest.approx(other["scores"], abs=PARITY)


def test_labels_in_one_string_are_parted_at_commas(classifier_server: RunningServer) -> None:
    text = "The actor was charming."
    parted = classify(classifier_server, "inference", text, candidate_labels=" film,food,, travel")
    listed = classify(
        classifier_server, "inference", text, candidate_labels=["film", "food", "travel"]
    )
    assert parted == listed
    assert parted[0]["label"] == "film"
    assert sum(label["score"] for label in parted) == pytest.approx(1)


def test_hugging_faces_client_reads_the_answer(classifier_server: RunningServer) -> None:
    url = classifier_server.url + path("inference")
    client = InferenceClient()
    found = client.zero_shot_classification("The soup was dull.", ["travel", "food"], model=url)
    assert [label.label for label in found] == ["food", "travel"]
    several = client.zero_shot_classification(
        "The soup was dull.", ["travel", "food"], multi_label=True, model=url
    )
    assert several[0].label == "food"
    assert several[0].score != found[0].score


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({}, "wrong_type", "parameters.candidate_labels"),
        ({"candidate_labels": []}, "invalid_parameter", "parameters.candidate_labels"),
        ({"candidate_labels": " , ,"}, "empty_text", "parameters.candidate_labels"),
        ({"candidate_labels": ["a", "\t"]}, "empty_text", "parameters.candidate_labels[1]"),
        ({"candidate_labels": ["a", 1]}, "wrong_type", "parameters.candidate_labels[1]"),
        ({"candidate_labels": ["a", LONG]}, "too_long", "parameters.candidate_labels[1]"),
        ({"candidate_labels": ["a"] * 2049}, "too_many_inputs", "parameters.candidate_labels"),
        *[
            (
                {"candidate_labels": ["a"], "hypothesis_template": template},
                "invalid_parameter",
                "parameters.hypothesis_template",
            )
            for template in (
                "no place",
                "{} and {}",
                "{0}",
                "{} {label}",
                "{:>999999999}",
                "{} }",
                "{}" + "a" * 999,
            )
        ],
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    classifier_server: RunningServer, parameters: dict[str, object], code: str, param: str
) -> None:
    body = {"inputs": "The soup was dull.", "parameters": parameters}
    response = classifier_server.post(path("inference"), body)
    error = response.json()
    assert (response.status_code, error["code"], error["param"]) == (422, code, param)


def test_texts_times_labels_are_bounded(classifier_server: RunningServer) -> None:
    body = {"inputs": ["a"] * 43, "parameters": {"candidate_labels": ["b"] * 48}}
    response = classifier_server.post(path("inference"), body)
    assert (response.status_code, response.json()["code"]) == (422, "too_many_inputs")


def test_a_model_that_learnt_no_inference_names_those_that_did(
    classifier_server: RunningServer,
) -> None:
    body = {"inputs": "a", "parameters": {"candidate_labels": ["b"]}}
    learnt = 'did not learn inference: no label among several begins with "entail".'
    lacking = "had no sequence-classification head."
    for name, lack in (("reviews", learnt), ("matches", learnt), ("names", lacking)):
        response = classifier_server.post(path(name), body)
        error = response.json()
        assert (response.status_code, error["code"]) == (422, "missing_head")
        assert error["error"] == (
            f"The checkpoint of {name} {lack} /zero-shot-classification is answered by: inference."
        )
