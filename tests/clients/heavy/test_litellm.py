"""LiteLLM, which speaks to many servers in their own shapes."""

from __future__ import annotations

import litellm
import numpy as np
import pytest

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "litellm"
PACKAGES = ("litellm",)


def test_it_embeds(everything: RunningServer, vectors: list[list[float]]) -> None:
    """`embedding(model="openai/…", api_base=…)`"""
    answer = litellm.embedding(
        model="openai/cloze-small-en", input=TEXTS, api_base=f"{everything.url}/v1", api_key="none"
    )
    np.testing.assert_allclose([one["embedding"] for one in answer.data], vectors, atol=1e-5)


@pytest.mark.parametrize("model", ["cohere/matches", "infinity/matches", "jina_ai/matches"])
def test_it_reranks(everything: RunningServer, order: list[int], model: str) -> None:
    """`rerank(model="cohere/…", …, top_n=2)`, and with `infinity/…` and `jina_ai/…`"""
    answer = litellm.rerank(
        model=model,
        query=QUERY,
        documents=DOCUMENTS,
        top_n=2,
        api_base=everything.url,
        api_key="none",
    )
    assert [result["index"] for result in answer.results] == order[:2]


def test_it_reranks_as_text_embeddings_inference_does(
    everything: RunningServer, order: list[int]
) -> None:
    """`rerank(model="huggingface/…")`, in TEI's shape"""
    answer = litellm.rerank(
        model="huggingface/matches",
        query=QUERY,
        documents=DOCUMENTS,
        api_base=f"{everything.url}/models/matches",
        api_key="none",
    )
    assert [result["index"] for result in answer.results] == order
