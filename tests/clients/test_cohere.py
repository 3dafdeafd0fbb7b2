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


@pytest.mark.parametrize("version", [cohere.Client, cohere.ClientV2])
def test_both_versions_take_a_models_address(
    everything: RunningServer, version: type[cohere.Client | cohere.ClientV2]
) -> None:
    """either with `base_url=".../models/MODEL"`"""
    expected = scores(everything)
    with version(api_key="none", base_url=f"{everything.url}/models/matches") as client:
        answer = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert [result.relevance_score for result in answer.results] == pytest.approx(
        sorted(expected, reverse=True), abs=1e-5
    )


@pytest.mark.parametrize(
    ("model", "documents", "status", "code", "param", "sentence"),
    [
        ("nobody", DOCUMENTS, 404, "model_not_found", "model", "No model of this name is loaded"),
        ("matches", ["a", ""], None, "empty_text", "documents[1]", "The text is empty"),
        ("reviews", DOCUMENTS, None, "invalid_parameter", "label", "This model has 3 labels"),
    ],
)
def test_refusals_are_the_clients_own_errors(
    everything: RunningServer,
    model: str,
    documents: list[str],
    status: int | None,
    code: str,
    param: str,
    sentence: str,
) -> None:
    """refusals: `NotFoundError`, `BadRequestError`, `UnprocessableEntityError` with our sentence"""
    for version, usual in ((cohere.Client, 400), (cohere.ClientV2, 422)):
        with (
            version(api_key="none", base_url=everything.url) as client,
            pytest.raises(cohere.core.ApiError, match=sentence) as refused,
        ):
            client.rerank(model=model, query=QUERY, documents=documents)
        assert refused.value.status_code == (status or usual)
        told = refused.value.body
        told = told["error"] if version is cohere.Client else told
        assert (told["code"], told["param"]) == (code, param)


def test_a_call_in_jinas_shape(everything: RunningServer) -> None:
    """Jina's: `POST /v1/rerank` with `top_n` and `return_documents`"""
    body = {"model": "matches", "query": QUERY, "documents": DOCUMENTS, "top_n": 2}
    answer = httpx.post(f"{everything.url}/v1/rerank", json=body | {"return_documents": True})
    results = answer.json()["results"]
    assert [result["document"]["text"] for result in results] == [
        DOCUMENTS[result["index"]] for result in results
    ]
    assert answer.json()["usage"]["total_tokens"] > 0
