"""Haystack's embedders, of OpenAI and of Hugging Face, and its ranker for TEI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
)
from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.conftest import Serve
from tests.running_server import RunningServer

CLIENT = "Haystack's embedders and TEI ranker"
PACKAGES = ("haystack-ai", "huggingface-api-haystack")


@pytest.fixture(scope="module")
def reranking(serve: Serve, classifiers: Path) -> RunningServer:
    """A server whose root reranks: the client asks its address at `/rerank`, whatever its path."""
    return serve(classifiers / "models", default_model="matches")


def test_openai_embedders(everything: RunningServer, vectors: list[list[float]]) -> None:
    """`OpenAIDocumentEmbedder(api_base_url=…)`, `OpenAITextEmbedder(api_base_url=…)`"""
    options = {
        "api_key": Secret.from_token("none"),
        "api_base_url": f"{everything.url}/v1",
        "model": "cloze-small-en",
    }
    documents = [Document(content=text) for text in TEXTS]
    found = OpenAIDocumentEmbedder(**options).run(documents)["documents"]
    np.testing.assert_allclose([one.embedding for one in found], vectors, atol=1e-5)
    one = OpenAITextEmbedder(**options).run(TEXTS[1])["embedding"]
    np.testing.assert_allclose(one, vectors[1], atol=1e-5)


@pytest.mark.parametrize("api_type", ["text_embeddings_inference", "inference_endpoints"])
def test_hugging_face_embedders(
    everything: RunningServer, vectors: list[list[float]], api_type: str
) -> None:
    """`HuggingFaceAPIDocumentEmbedder(api_params={"url": ".../embed"}, …)`, and of a text"""
    options = {
        "api_type": api_type,
        "api_params": {"url": f"{everything.url}/embed"},
        "token": None,
        "normalize": True,
    }
    documents = [Document(content=text) for text in TEXTS]
    found = HuggingFaceAPIDocumentEmbedder(**options).run(documents)["documents"]
    np.testing.assert_allclose([one.embedding for one in found], vectors, atol=1e-5)
    one = HuggingFaceAPITextEmbedder(**options).run(TEXTS[1])["embedding"]
    np.testing.assert_allclose(one, vectors[1], atol=1e-5)


def test_the_ranker(reranking: RunningServer, order: list[int]) -> None:
    """`HuggingFaceTEIRanker(url=…, top_k=2).run(query=…, documents=…)`: the root reranks"""
    ranker = HuggingFaceTEIRanker(url=reranking.url, top_k=2, token=None)
    documents = [Document(content=text) for text in DOCUMENTS]
    found = ranker.run(query=QUERY, documents=documents)["documents"]
    assert [one.content for one in found] == [DOCUMENTS[index] for index in order[:2]]
