"""Positions by distance in BERT's attention: `relative_key` and `relative_key_query`.

Each layer has a vector for every distance. A query's product with the vector of its distance to a
key is added to their score (Shaw et al. 2018, arXiv:1803.02155); with `relative_key_query` that of
the key is added too (Huang et al. 2020, arXiv:2009.13658). Transformers computed this up to
version 4.

Letters: P positions, B texts, S longest text, Q queries of a text, A attention heads, D = H / A,
n tokens of a text.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from export.check.layers import NumpyEncoder
from export.check.layers import Scores as NumpyScores
from export.read.config import EncoderConfig
from export.read.weights import Float32

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder
    from export.graph.places import Scores

CHOICE: Final = "position_embedding_type"
ABSOLUTE: Final = "absolute"
KEY, KEY_QUERY = "relative_key", "relative_key_query"
TYPES: Final = (ABSOLUTE, KEY, KEY_QUERY)
TABLE: Final = "attention.distance"


def is_relative(config: EncoderConfig) -> bool:
    """Whether an encoder has vectors for distances, and no table of positions."""
    return config.choices.get(CHOICE, ABSOLUTE) != ABSOLUTE


def table_shape(config: EncoderConfig) -> tuple[int, int]:
    """(2P - 1, D): a vector for each distance from P - 1 behind a key to P - 1 before it."""
    size = config.hidden_size // config.num_attention_heads
    return 2 * config.max_position_embeddings - 1, size


def pair_bytes(config: EncoderConfig) -> int:
    """Memory of attention for each pair of positions, in bytes.

    A head's score and its scores of distances, picked by int64 from those of all 2P - 1.
    """
    return 8 * 4 * config.num_attention_heads


def relative_scores(encoder: "PackedEncoder", layer: str) -> "Scores":
    """Nodes for the scores of a layer, `layers.0`: (B, A, Q, S)."""
    graph, places, config = encoder.graph, encoder.places, encoder.config
    size = config.hidden_size // config.num_attention_heads

    def by_distance(rows: str, distance: str) -> str:
        """The product of each row's heads with the vectors of its distances to others.

        (B, N, H) and int64 (1 or B, N, M) -> (B, A, N, M).
        """
        table = encoder.linear.weight(f"{layer}.{TABLE}.weight")
        heads = graph.constant(np.array([0, 0, config.num_attention_heads, size], np.int64))
        split = graph.node("Transpose", graph.node("Reshape", rows, heads), perm=[0, 2, 1, 3])
        every = graph.node("MatMul", split, graph.node("Transpose", table, perm=[1, 0]))
        first = graph.constant(np.array(config.max_position_embeddings - 1, np.int64))
        return places.pick(every, graph.node("Add", distance, first))

    def scores(query: str, key: str, *, read: bool) -> str:
        behind = places.distances(read=read)
        before = places.once(f"before {read}", lambda: graph.node("Neg", behind))
        added = by_distance(query, before)
        if config.choices[CHOICE] == KEY_QUERY:
            turned = graph.node("Transpose", before, perm=[0, 2, 1])
            of_keys = graph.node("Transpose", by_distance(key, turned), perm=[0, 1, 3, 2])
            added = graph.node("Add", added, of_keys)
        scale = graph.constant(np.array(1 / np.sqrt(size), np.float32))
        return graph.node("Mul", added, encoder.linear.narrow(scale))

    return scores


def reference_scores(encoder: NumpyEncoder, layer: str) -> NumpyScores:
    """The same in NumPy, for one text: (A, n, n)."""

    def scores(query: Float32, key: Float32) -> Float32:
        places = np.arange(query.shape[1])
        rows = places[:, None] - places + encoder.config.max_position_embeddings - 1
        vectors = encoder.weights[f"{layer}.{TABLE}.weight"][rows]  # (n, n, D)
        added: Float32 = np.einsum("ald,lrd->alr", query, vectors)
        if encoder.config.choices[CHOICE] == KEY_QUERY:
            added = added + np.einsum("ard,lrd->alr", key, vectors)
        return added / np.float32(np.sqrt(query.shape[2]))

    return scores
