"""LangChain's two embedding clients with their defaults."""

from __future__ import annotations

from pathlib import Path

import litellm
import numpy as np
import openai
import pytest
from huggingface_hub import InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings

from tests.clients.heavy.conftest import TEXTS
from tests.running_server import RunningServer

CLIENT = "LangChain: langchain-openai, langchain-huggingface"
PACKAGES = ("langchain-openai", "langchain-huggingface")


def embeddings(server: RunningServer, **options: object) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model="cloze-small-en", base_url=f"{server.url}/v1", api_key="none", **options
    )


def test_openai_embeddings_send_a_thousand_texts(everything: RunningServer) -> None:
    """`OpenAIEmbeddings(check_embedding_ctx_length=False).embed_documents(…)`: 1,000 a request"""
    texts = [f"Text number {number} is about rivers." for number in range(1001)]
    client = embeddings(everything, check_embedding_ctx_length=False)
    found = client.embed_documents(texts)
    assert len(found) == len(texts)
    direct = everything.post("/embed", {"inputs": texts[-2:]}).json()
    np.testing.assert_allclose(found[-2:], direct, atol=1e-5)
    np.testing.assert_allclose(client.embed_query(texts[-1]), direct[-1], atol=1e-5)


def test_token_ids_are_refused_with_the_remedy(
    everything: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OpenAIEmbeddings()`, which sends another model's token ids: refused, with the remedy"""
    # Its tokenizer's vocabulary, which it would download; another client ships it.
    vocabulary = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(vocabulary))
    with pytest.raises(openai.APIStatusError, match="check_embedding_ctx_length=False"):
        embeddings(everything).embed_documents(TEXTS)


def test_hugging_face_embeddings(everything: RunningServer, vectors: list[list[float]]) -> None:
    """`HuggingFaceEndpointEmbeddings(…)`, `client=InferenceClient(model=".../embed")`"""
    client = HuggingFaceEndpointEmbeddings(model="cloze-small-en", provider="hf-inference")
    client.client = InferenceClient(model=f"{everything.url}/embed")  # newer ones take no address
    np.testing.assert_allclose(client.embed_documents(TEXTS), vectors, atol=1e-6)
    np.testing.assert_allclose(client.embed_query(TEXTS[0]), vectors[0], atol=1e-6)
