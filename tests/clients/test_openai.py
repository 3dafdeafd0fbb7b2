"""OpenAI's Python client, unmodified, against a real server."""

from __future__ import annotations

import asyncio

import numpy as np
import openai
import pytest

from tests.running_server import RunningServer

CLIENT = "openai, Python"
PACKAGES = ("openai",)


@pytest.fixture(scope="module")
def client(two_model_server: RunningServer) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{two_model_server.url}/v1", api_key="none", max_retries=0)


def test_vectors_are_equal_in_both_encodings(client: openai.OpenAI) -> None:
    """`embeddings.create(input=[…], model=…)`, which asks for base64, and with `float`"""
    texts = ["A cat.", "The quick brown fox."]
    packed = client.embeddings.create(input=texts, model="minilm")
    plain = client.embeddings.create(input=texts, model="minilm", encoding_format="float")
    assert [len(entry.embedding) for entry in packed.data] == [384, 384]
    for one, other in zip(packed.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert packed.usage.total_tokens > 0


def test_dimensions_are_cut(client: openai.OpenAI) -> None:
    """`embeddings.create(…, dimensions=11)`"""
    answer = client.embeddings.create(input="A cat.", model="minilm", dimensions=11)
    assert len(answer.data[0].embedding) == 11


def test_the_asynchronous_client_gets_the_same(client: openai.OpenAI) -> None:
    """`AsyncOpenAI` with the same call"""

    async def ask() -> list[float]:
        async with openai.AsyncOpenAI(base_url=str(client.base_url), api_key="none") as own:
            answer = await own.embeddings.create(input="A cat.", model="cloze-small-en")
        return answer.data[0].embedding

    same = client.embeddings.create(input="A cat.", model="cloze-small-en")
    np.testing.assert_allclose(asyncio.run(ask()), same.data[0].embedding, atol=1e-6)


def test_models_are_listed(client: openai.OpenAI) -> None:
    """`models.list()`, `models.retrieve(…)`"""
    assert [model.id for model in client.models.list()] == ["cloze-small-en", "minilm"]
    assert client.models.retrieve("minilm").id == "minilm"


def test_refusals_are_the_clients_own_errors(client: openai.OpenAI) -> None:
    """an unknown model, an empty text: `NotFoundError` and the error of a bad request"""
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(input="a", model="text-embedding-3-small")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as empty:
        client.embeddings.create(input="", model="minilm")
    assert (empty.value.code, empty.value.param) == ("empty_text", "input")
