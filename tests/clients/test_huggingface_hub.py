"""Hugging Face's Python client, unmodified, against real servers."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.running_server import RunningServer

CLIENT = "huggingface_hub, `model=` the address of a route"
PACKAGES = ("huggingface-hub",)


def test_it_fills_masks(two_model_server: RunningServer) -> None:
    """`fill_mask(text)`, with `targets` and `top_k`"""
    url = f"{two_model_server.url}/fill-mask"
    text = "Paris is the [MASK] of France."
    first, *_ = InferenceClient().fill_mask(text, model=url)
    assert (first.token_str, first.sequence) == ("capital", "paris is the capital of france.")
    (heart,) = InferenceClient().fill_mask(text, model=url, targets=["heart"], top_k=1)
    assert heart.token_str == "heart"


def test_it_extracts_features(two_model_server: RunningServer) -> None:
    """`feature_extraction(text)`, with `truncate`, `truncation_direction` and `normalize`"""
    url = f"{two_model_server.url}/models/minilm/embed"
    vector = InferenceClient().feature_extraction("A cat.", model=url)
    assert vector.shape == (1, 384)
    long = InferenceClient().feature_extraction(
        "cat " * 2000, model=url, truncate=True, truncation_direction="left", normalize=True
    )
    assert long.shape == (1, 384)


def test_it_raises_on_refusals(two_model_server: RunningServer) -> None:
    """a refusal: `HfHubHTTPError`"""
    with pytest.raises(HfHubHTTPError, match="422"):
        InferenceClient().fill_mask("no blank", model=f"{two_model_server.url}/fill-mask")


def test_it_classifies_texts(classifier_server: RunningServer) -> None:
    """`text_classification(text)`, with `top_k` and `function_to_apply`"""
    url = f"{classifier_server.url}/predict"
    text = "What a wonderful film!"
    every = InferenceClient().text_classification(text, model=url)
    assert every[0].label == "positive"
    assert {label.label for label in every} == {"negative", "neutral", "positive"}
    assert sum(label.score for label in every) == pytest.approx(1)
    (best,) = InferenceClient().text_classification(text, model=url, top_k=1)
    assert best == every[0]
    (logit,) = InferenceClient().text_classification(
        text, model=url, top_k=1, function_to_apply="none"
    )
    assert logit.score > 1


def test_it_finds_entities(classifier_server: RunningServer) -> None:
    """`token_classification(text)`, with `aggregation_strategy`, `ignore_labels` and `stride`"""
    url = f"{classifier_server.url}/models/names/token-classification"
    text = "Clara lives in Berkeley."
    person, place = InferenceClient().token_classification(text, model=url)
    assert (person.entity_group, person.word) == ("PER", "clara")
    assert (place.entity_group, text[place.start : place.end]) == ("LOC", "Berkeley")
    tokens = InferenceClient().token_classification(
        text, model=url, aggregation_strategy="none", ignore_labels=["O", "I-LOC"]
    )
    assert [token.entity for token in tokens] == ["B-PER", "I-PER", "B-LOC"]
    long = InferenceClient().token_classification(
        " ".join([text] * 20), model=url, aggregation_strategy="first", stride=8
    )
    assert len(long) > 20


def test_it_answers_questions(classifier_server: RunningServer) -> None:
    """`question_answering(question, context)`, with all of its parameters"""
    url = f"{classifier_server.url}/models/answers/question-answering"
    question, context = "Where does Clara live?", "Clara lives in Berkeley."
    best = InferenceClient().question_answering(question, context, model=url)
    assert (best.answer, best.start, best.end) == ("Berkeley", 15, 23)
    several = InferenceClient().question_answering(
        question,
        context * 9,
        model=url,
        top_k=3,
        max_answer_len=5,
        max_seq_len=30,
        doc_stride=4,
        max_question_len=10,
        handle_impossible_answer=True,
        align_to_words=False,
    )
    assert len(several) == 3
    assert several[0].score >= several[1].score >= several[2].score


def test_it_raises_where_the_head_is_missing(classifier_server: RunningServer) -> None:
    """a model without the head: `HfHubHTTPError`"""
    with pytest.raises(HfHubHTTPError, match="422"):
        InferenceClient().text_classification(
            "a", model=f"{classifier_server.url}/models/names/predict"
        )


def test_the_asynchronous_client_gets_the_same(two_model_server: RunningServer) -> None:
    """`AsyncInferenceClient` with `fill_mask` and `feature_extraction`"""
    mask, embed = f"{two_model_server.url}/fill-mask", f"{two_model_server.url}/embed"
    text = "Paris is the [MASK] of France."

    async def ask() -> tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        async with AsyncInferenceClient() as client:
            filled = await client.fill_mask(text, model=mask)
            return filled[0].sequence, await client.feature_extraction(text, model=embed)

    sequence, vector = asyncio.run(ask())
    assert sequence == InferenceClient().fill_mask(text, model=mask)[0].sequence
    same = InferenceClient().feature_extraction(text, model=embed)
    np.testing.assert_allclose(vector, same, atol=1e-6)


def test_it_compares_sentences(two_model_server: RunningServer) -> None:
    """`sentence_similarity(sentence, others)`"""
    texts = ["A cat.", "Cats are animals.", "The stock market fell."]
    url = f"{two_model_server.url}/models/minilm/similarity"
    found = InferenceClient().sentence_similarity(texts[0], texts, model=url)
    vectors = InferenceClient().feature_extraction(
        texts, model=f"{two_model_server.url}/models/minilm/embed", normalize=True
    )
    np.testing.assert_allclose(found, vectors @ vectors[0], atol=1e-5)


def test_it_classifies_without_training(classifier_server: RunningServer) -> None:
    """`zero_shot_classification(text, labels)`, with `multi_label` and `hypothesis_template`"""
    url = f"{classifier_server.url}/models/inference/zero-shot-classification"
    labels = ["film", "food", "travel"]
    found = InferenceClient().zero_shot_classification("The actor was charming.", labels, model=url)
    assert found[0].label == "film"
    assert sum(one.score for one in found) == pytest.approx(1)
    several = InferenceClient().zero_shot_classification(
        "The actor was charming.",
        labels,
        model=url,
        multi_label=True,
        hypothesis_template="This example is {}.",
    )
    assert {one.label for one in several} == set(labels)
