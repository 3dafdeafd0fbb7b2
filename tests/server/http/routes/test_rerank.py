"""POST /rerank, /v1/rerank and /v2/rerank, against sentence-transformers' CrossEncoder."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from server.http.routes.rerank import Ranked, RankedDocuments
from tests.running_server import RunningServer
from tests.sentence_folders import TEXTS
from tests.server.http.routes.conftest import CROSS_ENCODERS

PARITY = 1e-5  # largest difference of a score in float32
QUERY = "Where does Clara live?"
DOCUMENTS = ["Omar lives in Oslo.", "Clara lives in Berkeley.", "Ada lives in Lima."]
MANY = 1000
ACTIVATIONS = {"ms-marco": "none", "stsb": "sigmoid"}
PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")


def rerank(server: RunningServer, path: str = "/models/matches/rerank", **body: object) -> Any:
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    return response.json()


def refusal(response: Any) -> tuple[int, str, str | None]:
    told = response.json()
    error = (
        told["error"] if isinstance(told["error"], dict) else told
    )  # as OpenAI's clients read it
    return response.status_code, error["code"], error["param"]


def assert_ranked(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """The order and the scores are those of CrossEncoder.rank."""
    assert [rank["index"] for rank in found] == [rank["corpus_id"] for rank in wanted]
    scores = [rank["score"] for rank in found]
    assert scores == pytest.approx([rank["score"] for rank in wanted], abs=PARITY)


@pytest.mark.parametrize("query", ["the dog ran", "paris " * 7, "a"])
@pytest.mark.parametrize("name", CROSS_ENCODERS)
def test_order_and_scores_are_those_of_crossencoder(
    library_server: RunningServer, library: Callable[[str], Any], name: str, query: str
) -> None:
    model, path = library(name), f"/models/{name}/rerank"
    body = {"query": query, "texts": list(TEXTS), "truncate": True}
    assert_ranked(rerank(library_server, path, **body), model.rank(query, list(TEXTS)))
    logits = model.rank(query, list(TEXTS), activation_fn=torch.nn.Identity())
    assert_ranked(rerank(library_server, path, **body, raw_scores=True), logits)


@pytest.mark.parametrize("name", CROSS_ENCODERS)
def test_relevance_lies_between_0_and_1_whatever_the_model_says(
    library_server: RunningServer, library: Callable[[str], Any], name: str
) -> None:
    wanted = library(name).rank("the cat", list(TEXTS), activation_fn=torch.nn.Sigmoid())
    for path in PATHS:
        body = {"query": "the cat", "documents": list(TEXTS), "model": name, "truncate": True}
        found = rerank(library_server, path, **body)["results"]
        renamed = [{"index": one["index"], "score": one["relevance_score"]} for one in found]
        assert_ranked(renamed, wanted)


@pytest.mark.parametrize("name", CROSS_ENCODERS)
def test_a_thousand_documents_are_one_request(
    library_server: RunningServer, library: Callable[[str], Any], name: str
) -> None:
    draw = random.Random(name)  # noqa: S311 - to be repeatable
    words = ("the", "cat", "sat", "on", "mat", "dog", "and", "man", "town", "paris", "ran")
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 6))) for _ in range(MANY)]
    found = rerank(
        library_server, f"/models/{name}/rerank", query="the dog", texts=texts, truncate=True
    )
    assert sorted(rank["index"] for rank in found) == list(range(MANY))
    wanted = {rank["corpus_id"]: rank["score"] for rank in library(name).rank("the dog", texts)}
    scores = [rank["score"] for rank in found]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([wanted[rank["index"]] for rank in found], abs=PARITY)


def test_texts_are_repeated_only_if_asked(classifier_server: RunningServer) -> None:
    plain = rerank(classifier_server, query=QUERY, texts=DOCUMENTS)
    shown = rerank(classifier_server, query=QUERY, texts=DOCUMENTS, return_text=True)
    assert [Ranked(**rank).text for rank in plain] == [None] * 3
    assert [rank.keys() for rank in plain] == [{"index", "score"}] * 3
    assert shown[0]["text"] == "Clara lives in Berkeley."
    assert [{**rank, "text": DOCUMENTS[rank["index"]]} for rank in plain] == shown


def test_documents_are_answered_as_cohere_does(classifier_server: RunningServer) -> None:
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[1], "year": 1868, "new": None}, DOCUMENTS[2]]
    body = {"query": QUERY, "documents": documents, "model": "matches"}
    for path in PATHS:
        plain = rerank(classifier_server, path, **body, top_n=2)
        answer = RankedDocuments(**plain)
        assert [rank.document for rank in answer.results] == [None, None]
        assert (answer.results[0].index, answer.model) == (1, "matches")
        assert answer.usage.total_tokens == plain["meta"]["tokens"]["input_tokens"] > 0
        shown = rerank(classifier_server, path, **body, return_documents=True)["results"]
        assert len(shown) == 3
        assert shown[0]["document"] == documents[1]
        # Infinity's clients read what they sent, Cohere's objects.
        other = DOCUMENTS[0] if path == "/rerank" else {"text": DOCUMENTS[0]}
        assert other in [one["document"] for one in shown]


def test_chosen_fields_are_read_in_their_order(classifier_server: RunningServer) -> None:
    fields = {"who": "Clara lives", "where": "in Berkeley.", "text": "Omar."}
    body = {"query": QUERY, "model": "matches"}

    def score(document: object, **more: object) -> float:
        answer = rerank(classifier_server, "/v1/rerank", **body, documents=[document], **more)
        found: float = answer["results"][0]["relevance_score"]
        return found

    assert score(fields) == score("Omar.")
    assert score(fields, rank_fields=["who", "where"]) == score("Clara lives in Berkeley.")
    assert score(fields, rank_fields=["where", "none", "who"]) == score("in Berkeley. Clara lives")
    assert score({"text": 7}) == score("7")


def test_a_document_without_the_fields_is_named(classifier_server: RunningServer) -> None:
    body = {"query": QUERY, "model": "matches", "documents": ["a", {"title": "b"}]}
    for more in ({}, {"rank_fields": ["body", "text"]}):
        response = classifier_server.post("/v1/rerank", body | more)
        assert refusal(response) == (400, "wrong_type", "documents[1]")


@pytest.mark.parametrize("below", ["", "/models/matches"])
@pytest.mark.parametrize(("path", "status"), [("/v1/rerank", 400), ("/v2/rerank", 422)])
def test_coheres_clients_get_the_code_and_the_field_of_a_refusal(
    classifier_server: RunningServer, below: str, path: str, status: int
) -> None:
    body = {"query": QUERY, "model": "matches"}
    for sent, told in (
        ({"documents": ["a", " "]}, ("empty_text", "documents[1]")),
        ({"documents": [7]}, ("wrong_type", "documents[0]")),
        ({"documents": ["a"], "top_n": 0}, ("invalid_parameter", "top_n")),
    ):
        response = classifier_server.post(below + path, body | sent)
        assert refusal(response) == (status, *told)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_a_path_below_a_model_is_enough(classifier_server: RunningServer, path: str) -> None:
    body = {"query": QUERY, "documents": DOCUMENTS}
    found = rerank(classifier_server, f"/models/matches{path}", **body)
    assert found == rerank(classifier_server, path, **body, model="matches")
    assert found["model"] == "matches"
    missing = classifier_server.post(f"/models/nobody{path}", body)
    assert refusal(missing) == (404, "model_not_found", "model")


def test_so_many_tokens_of_each_document_are_read(classifier_server: RunningServer) -> None:
    long = "Clara lives in Berkeley. " * 3
    body = {"query": QUERY, "model": "matches"}
    short = rerank(classifier_server, "/v2/rerank", **body, documents=["Clara lives"])
    sent = body | {"documents": ["a", long], "max_tokens_per_doc": 3}
    response = classifier_server.post("/v2/rerank", sent)
    cut = {one["index"]: one["relevance_score"] for one in response.json()["results"]}
    assert cut[1] == pytest.approx(short["results"][0]["relevance_score"])  # "clar ##a lives"
    assert response.headers["x-truncated"] == "1"


def test_long_documents_are_cut_for_cohere_and_refused_for_tei(
    classifier_server: RunningServer,
) -> None:
    long = "dull " * 60
    body = {"query": QUERY, "model": "matches"}
    cut = classifier_server.post("/v2/rerank", body | {"documents": ["a", long]})
    assert (cut.status_code, cut.headers["x-truncated"]) == (200, "1")
    for path, field in (("/rerank", "texts"), ("/rerank", "documents")):
        response = classifier_server.post(path, body | {field: ["a", long]})
        assert refusal(response) == (422, "too_long", f"{field}[1]")
    sent = body | {"documents": [long], "truncate": False}
    assert refusal(classifier_server.post("/v1/rerank", sent))[1:] == ("too_long", "documents[0]")


def test_a_label_may_be_chosen_of_several(classifier_server: RunningServer) -> None:
    body = {"query": "The film", "texts": ["was dull.", "was great.", "is in oslo."]}
    path = "/models/reviews/rerank"
    refused = classifier_server.post(path, body)
    assert refusal(refused) == (422, "invalid_parameter", "label")
    refused = classifier_server.post(path, body | {"label": "no such"})
    assert refusal(refused) == (422, "invalid_parameter", "label")
    pairs = [[body["query"], text] for text in body["texts"]]
    for raw in (False, True):
        sent = {"inputs": pairs, "raw_scores": raw}
        predicted = classifier_server.post("/models/reviews/predict", sent).json()
        for label in ("positive", "neutral"):
            found = rerank(classifier_server, path, **body, label=label, raw_scores=raw)
            wanted = [
                next(one["score"] for one in predicted[rank["index"]] if one["label"] == label)
                for rank in found
            ]
            assert [rank["score"] for rank in found] == pytest.approx(wanted)
            assert wanted == sorted(wanted, reverse=True)


def test_documents_may_be_ranked_by_logits_and_by_a_label_too(
    classifier_server: RunningServer,
) -> None:
    texts = ["was dull.", "was great.", "is in oslo."]
    body = {"query": "The film", "model": "reviews", "label": "positive"}
    for raw in (False, True):
        plain = rerank(
            classifier_server, "/models/reviews/rerank", **body, texts=texts, raw_scores=raw
        )
        for path in PATHS:
            found = rerank(classifier_server, path, **body, documents=texts, raw_scores=raw)
            assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [
                (one["index"], pytest.approx(one["score"])) for one in plain
            ]


def test_a_regression_of_one_label_is_ranked_by_its_sigmoid(
    classifier_server: RunningServer,
) -> None:
    body = {"query": "The soup", "texts": ["was great.", "was dull."]}
    found = rerank(classifier_server, "/models/stars/rerank", **body)
    assert all(0 < rank["score"] < 1 for rank in found)
    raw = rerank(classifier_server, "/models/stars/rerank", **body, raw_scores=True)
    expected = torch.sigmoid(torch.tensor([rank["score"] for rank in raw])).tolist()
    assert [rank["score"] for rank in found] == pytest.approx(expected)


def test_a_model_that_does_not_rerank_names_those_that_do(library_server: RunningServer) -> None:
    body = {"query": "a", "documents": ["b"], "model": None}
    for path in ("/rerank", "/models/labse/rerank", "/v1/rerank", "/v2/rerank"):
        response = library_server.post(path, body)
        assert response.status_code == (400 if path == "/v1/rerank" else 422)
        assert "ms-marco, stsb" in response.text
    named = library_server.post("/models/labse/rerank", body)
    assert refusal(named)[:2] == (422, "missing_head")
    assert refusal(library_server.post("/v1/rerank", body))[:2] == (400, "model_required")


def test_where_no_model_reranks_this_is_said(server: RunningServer) -> None:
    response = server.post("/rerank", {"query": "a", "texts": ["b"]})
    assert refusal(response)[:2] == (422, "missing_head")
    assert response.json()["error"].endswith("No loaded model answers /rerank.")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"query": "", "texts": ["a"]}, "empty_text", "query"),
        ({"query": "a", "texts": ["b", " "]}, "empty_text", "texts[1]"),
        ({"query": "a", "texts": []}, "invalid_parameter", "texts"),
        ({"query": "a"}, "wrong_type", "texts"),
        ({"query": "a", "texts": ["b"], "documents": ["c"]}, "wrong_type", "texts"),
        ({"query": "a", "documents": ["b", 3]}, "wrong_type", "documents[1]"),
        ({"query": "a", "documents": [{"text": ["b"]}]}, "wrong_type", "documents[0]"),
        ({"query": "a", "documents": [{str(n): 0 for n in range(33)}]}, "wrong_type", None),
        ({"query": "a", "texts": ["b"], "top_n": 0}, "invalid_parameter", "top_n"),
        ({"query": "dull " * 40, "texts": ["b"]}, "too_long", "texts[0]"),
        ({"query": ["a"], "texts": ["b"]}, "wrong_type", "query"),
    ],
)
def test_what_cannot_be_ranked_is_refused_by_name(
    classifier_server: RunningServer, body: dict[str, Any], code: str, param: str | None
) -> None:
    response = classifier_server.post("/models/matches/rerank", body)
    found = refusal(response)
    assert found[:2] == (422, code)
    assert param is None or found[2] == param


def test_a_long_query_is_read_once(classifier_server: RunningServer) -> None:
    """Of 1,000 documents with 1,200 characters it would be read for seconds."""
    body = {"query": "dull " * 240, "texts": ["a"] * 500, "truncate": True}
    response = classifier_server.post("/models/matches/rerank", body)
    assert response.status_code == 200
    timing = response.headers["server-timing"]
    tokenise = float(timing.partition("tokenise;dur=")[2].partition(",")[0])
    compute = float(timing.partition("compute;dur=")[2])
    assert tokenise < 2000 + compute
