"""The official clients, unmodified, against a real server."""

from __future__ import annotations

import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.running_server import RunningServer


@pytest.fixture(scope="module")
def client(two_model_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{two_model_server.url}/v1", api_key="none", max_retries=0)


def test_openai_embeds_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["A cat.", "The quick brown fox."]
    packed = client.embeddings.create(input=texts, model="minilm")
    plain = client.embeddings.create(input=texts, model="minilm", encoding_format="float")
    assert [len(entry.embedding) for entry in packed.data] == [384, 384]
    for one, other in zip(packed.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert packed.usage.total_tokens > 0


def test_openai_slices_dimensions(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(input="A cat.", model="minilm", dimensions=11)
    assert len(answer.data[0].embedding) == 11


def test_openai_lists_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["cloze-small-en", "minilm"]
    assert client.models.retrieve("minilm").id == "minilm"


def test_openai_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(input="a", model="text-embedding-3-small")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as empty:
        client.embeddings.create(input="", model="minilm")
    assert (empty.value.code, empty.value.param) == ("empty_text", "input")


def test_huggingface_fills_masks(two_model_server: RunningServer) -> None:
    url = f"{two_model_server.url}/fill-mask"
    text = "Paris is the [MASK] of France."
    first, *_ = InferenceClient().fill_mask(text, model=url)
    assert (first.token_str, first.sequence) == ("capital", "paris is the capital of france.")
    (heart,) = InferenceClient().fill_mask(text, model=url, targets=["heart"], top_k=1)
    assert heart.token_str == "heart"


def test_huggingface_extracts_features(two_model_server: RunningServer) -> None:
    url = f"{two_model_server.url}/models/minilm/embed"
    vector = InferenceClient().feature_extraction("A cat.", model=url)
    assert vector.shape == (1, 384)
    long = InferenceClient().feature_extraction(
        "cat " * 2000, model=url, truncate=True, truncation_direction="left", normalize=True
    )
    assert long.shape == (1, 384)


def test_huggingface_raises_on_refusals(two_model_server: RunningServer) -> None:
    with pytest.raises(HfHubHTTPError, match="422"):
        InferenceClient().fill_mask("no blank", model=f"{two_model_server.url}/fill-mask")
