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


@pytest.mark.parametrize(
    ("model", "end"),
    [("cohere/any", ""), ("cohere/any", "/v1/rerank"), ("infinity/any", "")],
)
def test_a_models_address_is_enough(
    everything: RunningServer, order: list[int], model: str, end: str
) -> None:
    """the same with `api_base=".../models/MODEL"`, and `.../models/MODEL/v1/rerank`"""
    answer = litellm.rerank(
        model=model,
        query=QUERY,
        documents=DOCUMENTS,
        api_base=f"{everything.url}/models/matches{end}",
        api_key="none",
    )
    assert [result["index"] for result in answer.results] == order


@pytest.mark.parametrize("provider", ["cohere", "infinity", "jina_ai", "huggingface"])
def test_refusals_have_our_sentence_and_code(everything: RunningServer, provider: str) -> None:
    """refusals: `APIConnectionError` with our sentence, its code and the field at fault"""
    address = f"{everything.url}/models/matches" if provider == "huggingface" else everything.url
    with pytest.raises(litellm.APIConnectionError) as refused:
        litellm.rerank(
            model=f"{provider}/matches",
            query=QUERY,
            documents=["a", ""],
            api_base=address,
            api_key="none",
        )
    field = "texts[1]" if provider == "huggingface" else "documents[1]"
    for part in ("The text is empty", "empty_text", field):
        assert part in str(refused.value)


def test_it_embeds_no_empty_text(everything: RunningServer) -> None:
    """`embedding(…)` refused: `BadRequestError` with our sentence"""
    with pytest.raises(litellm.BadRequestError, match="The text is empty"):
        litellm.embedding(
            model="openai/cloze-small-en",
            input=["a", ""],
            api_base=f"{everything.url}/v1",
            api_key="none",
        )


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
