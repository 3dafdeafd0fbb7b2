"""Infinity's own client, which was generated from its OpenAPI document."""

from __future__ import annotations

import numpy as np
import pytest
from infinity_client import Client
from infinity_client.api.default import classify, embeddings, health, rerank
from infinity_client.models import ClassifyInput, OpenAIEmbeddingInputText, RerankInput

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "infinity-client"
PACKAGES = ("infinity-client",)


@pytest.mark.parametrize("end", ["", "/v1", "/models/cloze-small-en"])
def test_it_embeds(everything: RunningServer, vectors: list[list[float]], end: str) -> None:
    """`embeddings.sync(client=Client(base_url=…), body=…)`; with `/v1` at its end too"""
    body = OpenAIEmbeddingInputText(input_=TEXTS)  # the model that it names by default
    with Client(base_url=everything.url + end) as client:
        answer = embeddings.sync(client=client, body=body)
    np.testing.assert_allclose([one.embedding for one in answer.data], vectors, atol=1e-5)
    assert answer.model == "cloze-small-en"


@pytest.mark.parametrize("end", ["", "/v1"])
def test_it_reranks(everything: RunningServer, order: list[int], end: str) -> None:
    """`rerank.sync(client=…, body=RerankInput(…, top_n=2))`"""
    body = RerankInput(query=QUERY, documents=DOCUMENTS, model="matches", top_n=2)
    with Client(base_url=everything.url + end) as client:
        answer = rerank.sync(client=client, body=body)
    assert [one.index for one in answer.results] == order[:2]


@pytest.mark.parametrize("raw", [False, True])
def test_it_classifies(everything: RunningServer, raw: bool) -> None:
    """`classify.sync(client=…, body=ClassifyInput(…))`, and with `raw_scores`"""
    inputs = [[text] for text in TEXTS]
    asked = {"inputs": inputs, "raw_scores": raw}
    direct = everything.post("/models/reviews/predict", asked).json()
    with Client(base_url=everything.url) as client:
        body = ClassifyInput(input_=TEXTS, model="reviews", raw_scores=raw)
        answer = classify.sync(client=client, body=body)
    assert [[one.to_dict() for one in labels] for labels in answer.data] == direct


def test_it_is_told_why_not(everything: RunningServer) -> None:
    """a refusal: our sentence; `health.sync(client=…)`"""
    with Client(base_url=everything.url) as client:
        refused = embeddings.sync(client=client, body=OpenAIEmbeddingInputText(input_=["a", ""]))
        assert health.sync(client=client)["status"] == "ok"
    assert refused["error"].startswith("The text is empty")
    assert (refused["code"], refused["param"]) == ("empty_text", "input[1]")
