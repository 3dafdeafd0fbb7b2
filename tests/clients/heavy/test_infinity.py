"""Infinity's own client, which was generated from its OpenAPI document."""

from __future__ import annotations

import numpy as np
from infinity_client import Client
from infinity_client.api.default import embeddings, rerank
from infinity_client.models import OpenAIEmbeddingInputText, RerankInput

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "infinity-client"
PACKAGES = ("infinity-client",)


def test_it_embeds(everything: RunningServer, vectors: list[list[float]]) -> None:
    """`embeddings.sync(client=Client(base_url=".../v1"), body=…)`"""
    body = OpenAIEmbeddingInputText(input_=TEXTS, model="cloze-small-en")
    with Client(base_url=f"{everything.url}/v1") as client:
        answer = embeddings.sync(client=client, body=body)
    np.testing.assert_allclose([one.embedding for one in answer.data], vectors, atol=1e-5)


def test_it_reranks(everything: RunningServer, order: list[int]) -> None:
    """`rerank.sync(client=…, body=RerankInput(…, top_n=2))`"""
    body = RerankInput(query=QUERY, documents=DOCUMENTS, model="matches", top_n=2)
    with Client(base_url=f"{everything.url}/v1") as client:
        answer = rerank.sync(client=client, body=body)
    assert [one.index for one in answer.results] == order[:2]
