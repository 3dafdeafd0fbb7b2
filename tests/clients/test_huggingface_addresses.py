"""Hugging Face's Python client with the address of a server or of a model, which name no route."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient

from tests.running_server import RunningServer

CLIENT = "huggingface_hub, `model=` the address of the server or of a model"
PACKAGES = ("huggingface-hub",)

MASKED = "Paris is the [MASK] of France."
QUESTION, CONTEXT = "Where does Clara live?", "Clara lives in Berkeley."


@pytest.mark.parametrize("at", ["", "/", "/models/cloze-small-en", "/models/cloze-small-en/"])
def test_masks_are_filled_and_texts_embedded(everything: RunningServer, at: str) -> None:
    """the server: `fill_mask(text)`, `feature_extraction(text)`"""
    client = InferenceClient(model=everything.url + at)
    assert client.fill_mask(MASKED)[0].sequence == "paris is the capital of france."
    direct = everything.post("/embed", {"inputs": [CONTEXT]}).json()
    np.testing.assert_allclose(client.feature_extraction(CONTEXT), direct, atol=1e-6)


def test_a_models_address_is_enough_for_its_task(everything: RunningServer) -> None:
    """a model: `text_classification`, `token_classification`, `question_answering`"""

    def at(model: str) -> InferenceClient:
        return InferenceClient(model=f"{everything.url}/models/{model}")

    assert at("reviews").text_classification("What a wonderful film!")[0].label == "positive"
    person, place = at("names").token_classification(CONTEXT)
    assert (person.entity_group, place.entity_group) == ("PER", "LOC")
    assert at("answers").question_answering(QUESTION, CONTEXT).answer == "Berkeley"


def test_so_it_is_where_the_body_tells_the_task(everything: RunningServer) -> None:
    """`sentence_similarity(sentence, others)`, `zero_shot_classification(text, labels)`"""
    for at in ("", "/models/cloze-small-en"):
        client = InferenceClient(model=everything.url + at)
        same, other = client.sentence_similarity(CONTEXT, [CONTEXT, "It rained."])
        assert other < same == pytest.approx(1, abs=1e-5)
    for at in ("", "/models/inference"):
        client = InferenceClient(model=everything.url + at)
        found = client.zero_shot_classification("The actor was charming.", ["food", "film"])
        assert found[0].label == "film"


def test_the_asynchronous_client_needs_no_route_either(everything: RunningServer) -> None:
    """`AsyncInferenceClient` with the same"""

    async def ask() -> tuple[str, str]:
        async with AsyncInferenceClient() as client:
            filled = await client.fill_mask(MASKED, model=everything.url)
            labels = await client.text_classification(
                "What a wonderful film!", model=f"{everything.url}/models/reviews"
            )
        return filled[0].token_str, labels[0].label

    assert asyncio.run(ask()) == ("capital", "positive")
