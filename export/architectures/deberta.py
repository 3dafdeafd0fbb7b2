"""DeBERTa-v3 (He et al. 2021, arXiv:2111.09543): scores of content with distance, both ways.

Distances fall into buckets, near ones each into their own. Every layer makes keys and queries of
the buckets' vectors by the products of its own keys and queries; a token's query with the key of
its distance to another token, and that one's key with the query of the distance, are added to their
score. Version 2 in transformers, which has both.

Letters: W = 2 · buckets, B texts, Q queries of a text, S keys, A attention heads, D = H / A,
n tokens of a text.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.architectures.architecture import Architecture, HeadLayer
from export.architectures.bert import BERT, Bert
from export.check.layers import Int64, NumpyEncoder
from export.errors import ExportError
from export.read.config import EncoderConfig, read_activation
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import NSP, POOLER, Shapes, norm_shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

TABLE, TABLE_NORM = "embeddings.distance", "embeddings.distance_norm"
BUCKETS, FARTHEST = "position_buckets", "max_relative_positions"
ACTIVATION = "pooler_hidden_act"
# What decides which scores there are, and what it is in version 3 and in the small ones of 2.
FIXED: Final[Mapping[str, Any]] = {
    "relative_attention": True,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "conv_kernel_size": 0,
    "z_steps": 0,
    "legacy": True,
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "relative_attention": False,
    "share_att_key": False,
    "norm_rel_ebd": "none",
    "position_biased_input": True,
}
KINDS: Final = {"c2p", "p2c"}
SCORES: Final = 3  # of content with content, of content with distance, of distance with content


class DebertaV2(Bert):
    """BERT's blocks with other scores."""

    class_prefix = "DebertaV2"
    lacks = frozenset({NSP.name})
    weight_names = replace(
        BERT.weight_names,
        prefix="deberta.",
        modules={**BERT.weight_names.modules, TABLE_NORM: "encoder.LayerNorm"},
        layer_modules={
            **BERT.weight_names.layer_modules,
            "attention.query": "attention.self.query_proj",
            "attention.key": "attention.self.key_proj",
            "attention.value": "attention.self.value_proj",
        },
        parameters={**BERT.weight_names.parameters, TABLE: "encoder.rel_embeddings.weight"},
        pooler_in_encoder=False,
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes and the buckets; other scores than those of version 3 are refused."""
        for name, wanted in FIXED.items():
            if fields.values.get(name, _DEFAULTS.get(name, wanted)) != wanted:
                raise ExportError(f"{name} in {fields.file} must be {wanted}, as in DeBERTa-v3.")
        kinds = fields.values.get("pos_att_type")
        listed = kinds.split("|") if isinstance(kinds, str) else kinds
        if not isinstance(listed, list) or set(map(str, listed)) != KINDS:
            raise ExportError(f"pos_att_type in {fields.file} must be c2p and p2c.")
        types = fields.integer("type_vocab_size", 0, least=0)
        sizes = fields.values | {"type_vocab_size": max(1, types)}
        config = super().read_config(Fields(sizes, fields.file))
        size = config.hidden_size // config.num_attention_heads
        for name, width in (("embedding_size", config.hidden_size), ("attention_head_size", size)):
            if fields.integer(name, width) != width:
                raise ExportError(f"{name} in {fields.file} must be {width}, as its width has it.")
        farthest = fields.values.get(FARTHEST, -1)
        return replace(
            config,
            segments=types > 0,
            choices={
                BUCKETS: fields.integer(BUCKETS, least=2),
                FARTHEST: config.max_position_embeddings
                if farthest == -1
                else fields.integer(FARTHEST),
                ACTIVATION: read_activation(fields, ACTIVATION),
            },
        )

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        """They are called as in BERT, but that no token types are none."""
        types = config.type_vocab_size if config.segments else 0
        own = {"type_vocab_size": types, "pos_att_type": "p2c|c2p"}
        return super().config_fields(config) | dict(FIXED) | own

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        """Heads of pre-training, and a table that some files keep."""
        own = {
            r"(lm|mask)_predictions\..*": "a head of pre-training that transformers does not read",
            r"embeddings\.position_embeddings\.weight": "not read: positions are relative",
        }
        return {**super().ignored(config), **own}

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        """A head's score and its scores of distances, picked by int64 from those of all buckets."""
        return 7 * 4 * config.num_attention_heads

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        """The classifier's dense layer has an activation of its own."""
        pooler = HeadLayer(_choices(config).text(ACTIVATION))
        return {**super().head_layers(config), POOLER.name: pooler}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """One or two tables and a norm, and the vectors of buckets with theirs."""
        shapes = super().embedding_shapes(config)
        del shapes["embeddings.position"]
        if not config.segments:
            del shapes["embeddings.token_type"]
        shapes[TABLE] = (2 * _choices(config).integer(BUCKETS), config.hidden_size)
        return shapes | norm_shapes(TABLE_NORM, config.hidden_size)

    def attention(self, encoder: "PackedEncoder", index: int, rows: str) -> tuple[str, str]:
        """Scores of distances are added: (B, A, Q, S)."""
        graph, places, config = encoder.graph, encoder.places, encoder.config
        heads, size = config.num_attention_heads, config.hidden_size // config.num_attention_heads
        name = f"layers.{index}.attention"

        def table(part: str) -> str:
            """The keys or queries that the layer makes of buckets: (1, A, D, W)."""
            vectors = places.once(
                TABLE, lambda: encoder.norm(encoder.linear.weight(TABLE), TABLE_NORM)
            )
            made = encoder.linear.project(encoder.linear.rows(vectors, name), f"{name}.{part}")
            # As many dimensions as the other factor has: with one fewer, ONNX Runtime 1.32 ends the
            # process as it opens a graph in float16.
            shape = graph.constant(np.array([1, heads, size, -1], np.int64))
            return graph.node("Reshape", graph.node("Transpose", made, perm=[1, 0]), shape)

        def by_bucket(content: str, part: str, buckets: str) -> str:
            """(B, N, H) and int64 (1 or B, N, M) -> (B, A, N, M)."""
            shape = graph.constant(np.array([0, 0, heads, size], np.int64))
            split = graph.node(
                "Transpose", graph.node("Reshape", content, shape), perm=[0, 2, 1, 3]
            )
            return places.pick(graph.node("MatMul", split, table(part)), buckets)

        def scores(query: str, key: str, *, read: bool) -> str:
            buckets = places.once(f"buckets {read}", lambda: self._buckets(encoder, read=read))
            turned = graph.node("Transpose", buckets, perm=[0, 2, 1])
            of_keys = graph.node("Transpose", by_bucket(key, "query", turned), perm=[0, 1, 3, 2])
            added = graph.node("Add", by_bucket(query, "key", buckets), of_keys)
            scale = graph.constant(np.array(_scale(config), np.float32))
            return graph.node("Mul", added, encoder.linear.narrow(scale))

        return encoder.attention(index, rows, scores=scores, scale=_scale(config))

    def _buckets(self, encoder: "PackedEncoder", *, read: bool) -> str:
        """The row of the table for each distance: int64 (1, S, S), or (B, Q, S) of read rows."""
        graph, farthest = encoder.graph, encoder.config.max_position_embeddings
        every = _rows(encoder.config, np.arange(farthest, -farthest - 1, -1))
        offset = graph.constant(np.array(farthest, np.int64))
        behind = graph.node("Add", encoder.places.distances(read=read), offset)
        return graph.node("Gather", graph.constant(every, "constant/buckets"), behind)

    def reference_attention(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The same in NumPy."""
        config, name = encoder.config, f"layers.{index}.attention"

        @cache  # once for all texts, and after the layer's own keys and queries
        def table(part: str) -> Float32:
            vectors = encoder.norm(TABLE_NORM, encoder.weights[TABLE])
            made = encoder.product(f"{name}.{part}", vectors)  # (W, H)
            return made.reshape(len(made), config.num_attention_heads, -1).transpose(1, 2, 0)

        def scores(query: Float32, key: Float32) -> Float32:
            place = np.arange(query.shape[1])
            buckets = _rows(config, place[:, None] - place)[None]  # (1, n, n)
            added = np.take_along_axis(query @ table("key"), buckets, axis=2)
            turned = np.take_along_axis(key @ table("query"), buckets.transpose(0, 2, 1), axis=2)
            total: Float32 = (added + turned.transpose(0, 2, 1)) * np.float32(_scale(config))
            return total

        return encoder.attention(index, rows, scores=scores, scale=_scale(config))


def bucket(distance: Int64, buckets: int, farthest: int) -> Int64:
    """The bucket of how far a token stands behind another one, below 0 where it stands before it.

    >>> bucket(np.array([0, -3, 127, 128, 200, 511]), 256, 512).tolist()
    [0, -3, 127, 128, 169, 255]
    """
    half, far = buckets // 2, np.abs(distance)
    # In float32, as transformers computes it: a distance may lie on the edge of two buckets.
    steps = np.log(np.maximum(far, half).astype(np.float32) / np.float32(half))
    steps = steps / np.log(np.float32((farthest - 1) / half)) * np.float32(half - 1)
    large = np.sign(distance) * (np.ceil(steps).astype(np.int64) + half)
    found: Int64 = np.where(far <= half, distance, large)
    return found


def _rows(config: EncoderConfig, distance: Int64) -> Int64:
    """The row of the table of buckets for each distance."""
    buckets, farthest = (_choices(config).integer(name) for name in (BUCKETS, FARTHEST))
    found: Int64 = np.clip(bucket(distance, buckets, farthest) + buckets, 0, 2 * buckets - 1)
    return found


def _scale(config: EncoderConfig) -> float:
    """What all three scores are multiplied by."""
    return float((SCORES * config.hidden_size / config.num_attention_heads) ** -0.5)


def _choices(config: EncoderConfig) -> Fields:
    return Fields(dict(config.choices), "config.json")


DEBERTA_V2: Final[Architecture] = DebertaV2()
