"""Scores of labels against transformers' pipeline, and what becomes of long texts and pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from models.heads import SEQUENCE
from server.errors import EmptyText, InvalidParameter, MissingHead, TooLong
from server.inference.pipeline import Pipeline
from server.inference.runtime.packing import PooledLogits
from server.inference.tasks.pairs import Cut, Direction
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    Function,
    Label,
    PredictOptions,
    usual_function,
)
from tests.fine_tuned import LONGEST
from tests.server.inference.conftest import proceed, value_of

PARITY = 1e-4  # largest difference of a score or logit from transformers in float32
MODELS = ("reviews", "topics", "stars", "matches")
FUNCTIONS: tuple[Function, ...] = ("softmax", "sigmoid", "none")
Input = tuple[str, str | None]
Load = Callable[[str], Pipeline]
INPUTS: tuple[Input, ...] = (
    ("What a wonderful film!", None),
    ("The soup was awful.", None),
    ("The hotel and the actor.", None),
    ("a", None),
    ("na\u00efve caf\u00e9 \u6771\u4eac \U0001f600 don't 3.50", None),
    ("The film was not very great, it was dull and the actor was charming!", None),
    ("Where does Clara live?", "Clara lives in Berkeley."),
    ("Where does Clara live?", "Omar lives in Oslo."),
    ("Omar lives in Oslo.", "Where does Clara live?"),
)


def predict(pipeline: Pipeline, inputs: Sequence[Input], **options: Any) -> list[list[Label]]:
    return value_of(pipeline, TEXT_CLASSIFICATION, inputs, PredictOptions(**options))


def reference(checkpoint: Path, inputs: Sequence[Input], **options: Any) -> list[dict[str, float]]:
    """What transformers' pipeline answers, as label -> score."""
    classify: Any = transformers.pipeline("text-classification", str(checkpoint), device="cpu")
    asked = [
        {"text": first} | ({"text_pair": second} if second else {}) for first, second in inputs
    ]
    answers = [classify(one, top_k=None, **options) for one in asked]
    return [{label["label"]: label["score"] for label in answer} for answer in answers]


def assert_same(found: Sequence[Sequence[Label]], wanted: Sequence[dict[str, float]]) -> None:
    assert len(found) == len(wanted)
    for labels, expected in zip(found, wanted, strict=True):
        assert {label.label: label.score for label in labels} == pytest.approx(expected, abs=PARITY)
        scores = [label.score for label in labels]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_transformers(name: str, classifier: Load, classifiers: Path) -> None:
    wanted = reference(classifiers / "checkpoints" / name, INPUTS)
    assert_same(predict(classifier(name), INPUTS), wanted)
    scores = np.array([list(expected.values()) for expected in wanted])
    assert np.ptp(scores, axis=0).min() > 100 * PARITY


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", ["reviews", "topics"])
def test_another_function_is_applied_on_request(
    name: str, function: Function, classifier: Load, classifiers: Path
) -> None:
    wanted = reference(classifiers / "checkpoints" / name, INPUTS, function_to_apply=function)
    assert_same(predict(classifier(name), INPUTS, function=function), wanted)


def test_what_was_learnt_is_known(classifier: Load) -> None:
    good, bad, _, *_ = predict(classifier("reviews"), INPUTS)
    assert (good[0].label, bad[0].label) == ("positive", "negative")
    (_, both) = predict(classifier("topics"), [INPUTS[0], ("The soup and the train.", None)])
    assert {label.label for label in both if label.score > 0.5} == {"food", "travel"}
    ((same,), (other,)) = predict(classifier("matches"), INPUTS[6:8])
    assert same.score > 0.9
    assert other.score < 0.1
    ((many,), (few,)) = predict(classifier("stars"), INPUTS[:2])
    assert many.score == pytest.approx(5, abs=0.5)
    assert few.score == pytest.approx(1, abs=0.5)


def test_the_usual_function_is_chosen_as_transformers_does(classifier: Load) -> None:
    manifest = classifier("reviews").manifest
    assert usual_function(manifest) == "softmax"
    assert usual_function(replace(manifest, multi_label=True)) == "sigmoid"
    assert usual_function(replace(manifest, labels=("one",))) == "sigmoid"
    assert usual_function(replace(manifest, labels=("one",), regression=True)) == "none"
    assert usual_function(replace(manifest, multi_label=True, regression=True)) == "none"


def test_top_k_keeps_the_best(classifier: Load) -> None:
    (every,) = predict(classifier("reviews"), INPUTS[:1])
    for top_k in (1, 2, 3, 9):
        assert predict(classifier("reviews"), INPUTS[:1], top_k=top_k) == [every[:top_k]]


def test_a_text_gets_the_same_scores_in_any_company(classifier: Load) -> None:
    together = predict(classifier("reviews"), INPUTS)
    for one, labels in zip(INPUTS, together, strict=True):
        (alone,) = predict(classifier("reviews"), [one])
        assert [label.label for label in alone] == [label.label for label in labels]
        scores = [label.score for label in labels]
        assert [label.score for label in alone] == pytest.approx(scores, abs=1e-6)


def test_a_long_text_is_refused_or_cut_at_either_end(classifier: Load) -> None:
    pipeline = classifier("reviews")
    text = "what " * 30 + "soup " * 30
    with pytest.raises(TooLong) as error:
        predict(pipeline, [("a", None), (text, None)])
    assert error.value.param == "inputs[1]"
    room = LONGEST - 2
    cases: dict[Direction, list[str]] = {
        "right": text.split()[:room],
        "left": text.split()[-room:],
    }
    for direction, kept in cases.items():
        options = {"cut": Cut(True, direction)}
        expected = predict(pipeline, [(" ".join(kept), None)])
        assert predict(pipeline, [(text, None)], **options) == expected
        # Far beyond the limit the text is cut before it is tokenised.
        far = text * 2000 if direction == "right" else "soup " * 100_000 + text
        assert predict(pipeline, [(far, None)], **options) == expected


@pytest.mark.parametrize("direction", ["right", "left"])
def test_of_a_long_pair_the_longer_text_is_cut(direction: Direction, classifier: Load) -> None:
    pipeline = classifier("matches")
    with pytest.raises(TooLong, match="pair"):
        predict(pipeline, [("what " * 30, "soup " * 10)])
    options = PredictOptions(cut=Cut(True, direction))
    first, second = "a " + "what " * 30 + "the", "soup " * 10
    plan = TEXT_CLASSIFICATION.plan([(first, second)], options, pipeline.model, proceed)
    (item,) = plan.items()
    assert (len(item.encoding), plan.truncated) == (LONGEST, (True,))
    assert item.encoding.type_ids.sum() == 11  # the shorter text whole, with its [SEP]
    edge = pipeline.model.tokenizer.token_id("a" if direction == "right" else "the")
    assert item.encoding.ids[1 if direction == "right" else LONGEST - 13] == edge


def test_what_fits_exactly_is_not_cut(classifier: Load) -> None:
    pipeline = classifier("reviews")
    for inputs in (("soup " * 38, None), ("soup " * 30, "soup " * 7)):
        plan = TEXT_CLASSIFICATION.plan([inputs], PredictOptions(), pipeline.model, proceed)
        assert [len(item.encoding) for item in plan.items()] == [LONGEST]
        assert [item.output for item in plan.items()] == [PooledLogits(SEQUENCE)]
        assert plan.truncated == (False,)


@pytest.mark.parametrize("empty", [("", None), ("a", " "), (" ", "a")])
def test_a_text_with_nothing_in_it_is_refused(empty: Input, classifier: Load) -> None:
    with pytest.raises(EmptyText) as error:
        predict(classifier("reviews"), [("a", None), empty])
    assert error.value.param == "inputs[1]"


def test_a_model_with_one_segment_reads_no_pairs(classifier: Load) -> None:
    model = classifier("reviews").model
    architecture = replace(model.manifest.architecture, type_vocab_size=1)
    narrow = replace(model, manifest=replace(model.manifest, architecture=architecture))
    TEXT_CLASSIFICATION.check([("a", None)], PredictOptions(), narrow)
    with pytest.raises(InvalidParameter) as error:
        TEXT_CLASSIFICATION.check([("a", None), ("a", "b")], PredictOptions(), narrow)
    assert error.value.param == "inputs[1]"


def test_a_model_that_reads_no_segments_reads_pairs(classifier: Load) -> None:
    model = classifier("reviews").model
    sizes = replace(model.manifest.architecture, type_vocab_size=1, segments=False)
    other = replace(model, manifest=replace(model.manifest, architecture=sizes))
    TEXT_CLASSIFICATION.check([("a", None), ("a", "b")], PredictOptions(), other)


def test_a_model_without_the_head_says_so(classifier: Load) -> None:
    with pytest.raises(MissingHead):
        predict(classifier("names"), INPUTS[:1])
