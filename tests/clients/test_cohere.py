"""Cohere's client, both of its versions, unmodified, against a real server."""

from __future__ import annotations

import cohere
import httpx
import pytest

from tests.running_server import RunningServer

CLIENT = "cohere"
PACKAGES = ("cohere",)

QUERY = "Where does Clara live?"
DOCUMENTS = ["Omar lives in Oslo.", "Clara lives in Berkeley.", "Maria lives in Lima."]


def scores(server: RunningServer) -> list[float]:
    """What the model says of each pair, by another route."""
    pairs = [[QUERY, document] for document in DOCUMENTS]
    answers = server.post("/models/matches/predict", {"inputs": pairs}).json()
    return [labels[0]["score"] for labels in answers]


def test_version_1_reranks(everything: RunningServer) -> None:
    """`cohere.Client(base_url=…).rerank(query=…, documents=[…], top_n=2, return_documents=True)`"""
    with cohere.Client(api_key="none", base_url=everything.url) as client:
        answer = client.rerank(
            model="matches", query=QUERY, documents=DOCUMENTS, top_n=2, return_documents=True
        )
    expected = scores(everything)
    best = sorted(range(len(DOCUMENTS)), key=lambda index: -expected[index])[:2]
    assert [result.index for result in answer.results] == best
    for result in answer.results:
        assert result.relevance_score == pytest.approx(expected[result.index], abs=1e-5)
        assert result.document is not None
        assert result.document.text == DOCUMENTS[result.index]


def test_version_1_reranks_objects(everything: RunningServer) -> None:
    """the same with `documents=[{"text": …}]`"""
    objects = [{"text": document} for document in DOCUMENTS]
    with cohere.Client(api_key="none", base_url=everything.url) as client:
        answer = client.rerank(model="matches", query=QUERY, documents=objects)
        plain = client.rerank(model="matches", query=QUERY, documents=DOCUMENTS)
    assert [result.index for result in answer.results] == [result.index for result in plain.results]


def test_version_2_reranks(everything: RunningServer) -> None:
    """`cohere.ClientV2(base_url=…).rerank(…, top_n=1, max_tokens_per_doc=…)`"""
    with cohere.ClientV2(api_key="none", base_url=everything.url) as client:
        answer = client.rerank(
            model="matches",
            query=QUERY,
            documents=DOCUMENTS,
            top_n=1,
            max_tokens_per_doc=20,
        )
    expected = scores(everything)
    (best,) = answer.results
    assert best.relevance_score == pytest.approx(max(expected), abs=1e-5)
    assert best.index == expected.index(max(expected))


def test_a_call_in_jinas_shape(everything: RunningServer) -> None:
    """Jina's: `POST /v1/rerank` with `top_n` and `return_documents`"""
    body = {"model": "matches", "query": QUERY, "documents": DOCUMENTS, "top_n": 2}
    answer = httpx.post(f"{everything.url}/v1/rerank", json=body | {"return_documents": True})
    results = answer.json()["results"]
    assert [result["document"]["text"] for result in results] == [
        DOCUMENTS[result["index"]] for result in results
    ]
    assert answer.json()["usage"]["total_tokens"] > 0
