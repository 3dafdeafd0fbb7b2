"""LlamaIndex's clients of text-embeddings-inference."""

from __future__ import annotations

import numpy as np
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.clients.heavy.conftest import DOCUMENTS, QUERY, TEXTS
from tests.running_server import RunningServer

CLIENT = "LlamaIndex's TEI embeddings and reranker"
PACKAGES = (
    "llama-index-embeddings-text-embeddings-inference",
    "llama-index-postprocessor-tei-rerank",
)


def test_it_embeds(everything: RunningServer, vectors: list[list[float]]) -> None:
    """`TextEmbeddingsInference(…).get_text_embedding_batch(…)`, `get_query_embedding(…)`"""
    client = TextEmbeddingsInference(model_name="any", base_url=everything.url)
    np.testing.assert_allclose(client.get_text_embedding_batch(TEXTS), vectors, atol=1e-6)
    assert len(client.get_query_embedding("a river")) == len(vectors[0])


def test_it_reranks(everything: RunningServer, order: list[int]) -> None:
    """`TextEmbeddingInference(base_url=…, top_n=2).postprocess_nodes(…)`"""
    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in DOCUMENTS]
    client = TextEmbeddingInference(top_n=2, base_url=f"{everything.url}/models/matches")
    found = client.postprocess_nodes(nodes, query_str=QUERY)
    assert [node.text for node in found] == [DOCUMENTS[index] for index in order[:2]]
