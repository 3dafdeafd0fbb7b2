"""Chroma's embedding functions."""

from __future__ import annotations

import numpy as np
import pytest
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer, OpenAIEmbeddingFunction

from tests.clients.heavy.conftest import TEXTS
from tests.running_server import RunningServer

CLIENT = "chromadb's embedding functions"
PACKAGES = ("chromadb",)


def test_hugging_face_embedding_server(
    everything: RunningServer, vectors: list[list[float]]
) -> None:
    """`HuggingFaceEmbeddingServer(url=".../embed")(texts)`"""
    found = HuggingFaceEmbeddingServer(url=f"{everything.url}/embed")(TEXTS)
    np.testing.assert_allclose(found, vectors, atol=1e-6)


def test_openai_embedding_function(
    everything: RunningServer, vectors: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OpenAIEmbeddingFunction(api_base=…, model_name=…)(texts)`"""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    embed = OpenAIEmbeddingFunction(api_base=f"{everything.url}/v1", model_name="cloze-small-en")
    np.testing.assert_allclose(embed(TEXTS), vectors, atol=1e-6)
