"""MPNet (Song et al. 2020, arXiv:2004.09297): RoBERTa with a bias for the distance of two tokens.

Distances fall into buckets, as in T5: near ones each have their own, far ones share some. All
layers share one bias for each bucket and attention head. There are no token types.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from export.architectures.architecture import Architecture, WeightNames
from export.architectures.roberta import PADDING, ROBERTA, Roberta
from export.check.layers import Int64, NumpyEncoder
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import Shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

BUCKETS = 32  # half of them for what stands before a token, half for what stands behind it
FARTHEST = 128  # tokens; all that is farther shares one bucket
PADDING_TOKEN = 1  # whatever a config.json says
TABLE = "embeddings.relative"


class MpNet(Roberta):
    """RoBERTa without token types, and with a bias for distances."""

    weight_names: WeightNames = replace(
        ROBERTA.weight_names,
        prefix="mpnet.",
        layer_modules={
            **ROBERTA.weight_names.layer_modules,
            "attention.query": "attention.attn.q",
            "attention.key": "attention.attn.k",
            "attention.value": "attention.attn.v",
            "attention.output": "attention.attn.o",
            "attention.norm": "attention.LayerNorm",
        },
        parameters={
            **ROBERTA.weight_names.parameters,
            TABLE: "encoder.relative_attention_bias.weight",
        },
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes; another number of buckets is refused."""
        buckets = fields.integer("relative_attention_num_buckets", BUCKETS)
        if buckets != BUCKETS:
            raise ExportError(
                f"relative_attention_num_buckets in {fields.file} is {buckets}; MPNet computes "
                f"with {BUCKETS}."
            )
        config = replace(super().read_config(fields), type_vocab_size=1)
        return replace(config, choices={PADDING: PADDING_TOKEN})

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        """A score and two copies of its bias a head; three int64 for the bucket."""
        return 3 * 4 * config.num_attention_heads + 24

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Two tables and a norm, and a bias for each bucket and attention head."""
        shapes = super().embedding_shapes(config)
        del shapes["embeddings.token_type"]
        return shapes | {TABLE: (BUCKETS, config.num_attention_heads)}

    def attention(self, encoder: "PackedEncoder", index: int, rows: str) -> tuple[str, str]:
        """Scores get the bias of their distance."""

        def scores(query: str, key: str, *, read: bool) -> str:  # noqa: ARG001
            return encoder.places.once(f"{TABLE} {read}", lambda: self._bias(encoder, read=read))

        return encoder.attention(index, rows, scores=scores)

    def _bias(self, encoder: "PackedEncoder", *, read: bool) -> str:
        """(1, A, S, S), or (B, A, Q, S) where only read rows have queries."""
        graph, farthest = encoder.graph, encoder.config.max_position_embeddings
        every = bucket(np.arange(-farthest, farthest + 1))
        buckets = graph.constant(every, "constant/buckets")
        offset = graph.constant(np.array(farthest, np.int64))
        index = graph.node("Add", encoder.places.distances(read=read), offset)
        bias = encoder.linear.lookup(TABLE, graph.node("Gather", buckets, index, axis=0))
        return graph.node("Transpose", bias, perm=[0, 3, 1, 2])

    def reference_attention(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The same in NumPy."""

        def scores(query: Float32, _key: Float32) -> Float32:
            place = np.arange(query.shape[1])
            bias = encoder.weights[TABLE][bucket(place - place[:, None])]  # (n, n, A)
            return bias.transpose(2, 0, 1)

        return encoder.attention(index, rows, scores=scores)


def bucket(distance: Int64) -> Int64:
    """The bucket of how far behind a token another one stands.

    >>> bucket(np.array([0, -1, -7, -8, -20, 1, 500])).tolist()
    [0, 1, 7, 8, 10, 17, 31]
    """
    half, far = BUCKETS // 2, np.abs(distance)
    exact = half // 2
    # In float32, as transformers computes it: a distance may lie on the edge of two buckets.
    steps = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact))
    steps = steps / np.float32(np.log(FARTHEST / exact)) * np.float32(half - exact)
    large = np.minimum(exact + steps.astype(np.int64), half - 1)
    found: Int64 = (distance > 0) * half + np.where(far < exact, far, large)
    return found


MPNET: Final[Architecture] = MpNet("MPNet")
