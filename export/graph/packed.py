"""What computes on packed rows, for any architecture: products, norms, attention, read rows.

What differs from a textbook's encoder is which rows are computed:

* Packed rows. Texts lie end to end, so every token-wise operation runs on `(tokens, hidden)` and
  nothing is spent on padding. Around attention only, `pad_index` spreads rows to `(batch, seq)` and
  `unpad_index` collects them again.
* Read rows. In the last layer keys and values are computed for all rows; queries, attention output,
  feed-forward and norms only for the rows in `read_index`, those that some head reads.

Letters: T tokens, B texts, S longest text, R read rows, Q most read rows of a text, H hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import TensorProto

from export.graph.builder import GraphBuilder
from export.graph.linear import Linear, Rows
from export.read.config import EncoderConfig
from models.pooling import PoolingModule

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
# No activation gives less: GELU's minimum is -0.16997, that of its tanh approximation -0.17004.
LEAST = {"gelu": -0.1701, "gelu_new": -0.1701, "gelu_pytorch_tanh": -0.1701, "relu": 0.0}


@dataclass(frozen=True)
class GraphSpec:
    """Which graph to build: the shape of the encoder, the heads it has, the extra layers read."""

    config: EncoderConfig
    heads: tuple[str, ...]
    layers: tuple[int, ...] = ()
    """Hidden layers that can be pooled besides the last, as negative indices: (-2,)."""
    poolings: int = 1
    """Pooled rows that are laid end to end before the modules."""
    modules: tuple[PoolingModule, ...] = ()
    """What they go through to be the sentence vector."""

    @property
    def tap_inputs(self) -> list[str]:
        """Names of the inputs that pick rows of the extra layers: ["layer_-2_index"]."""
        return [f"layer_{layer}_index" for layer in self.layers]


# Inputs that say where packed rows lie in a rectangle of texts, and their shapes.
PACKING: Mapping[str, Sequence[str]] = {
    "pad_index": ["batch", "sequence"],
    "unpad_index": ["tokens"],
    "lengths": ["batch"],
    "read_index": ["reads"],
    "read_pad_index": ["batch", "queries"],
    "read_unpad_index": ["reads"],
}


class PackedEncoder:
    """What an `Architecture` builds its layers of."""

    def __init__(self, graph: GraphBuilder, config: EncoderConfig, linear: Linear) -> None:
        self.graph = graph
        self.config = config
        self.linear = linear

    def token_input(self, name: str) -> str:
        """A graph input with a number for each packed token: int64 (T,)."""
        return self.graph.input(name, INT64, ["tokens"])

    @cached_property
    def packing(self) -> dict[str, str]:
        """The inputs of packing, declared when they are first asked for."""
        return {name: self.graph.input(name, INT64, shape) for name, shape in PACKING.items()}

    def attention(self, index: int, rows: str, *, carried: str | None = None) -> tuple[str, str]:
        """Self-attention of layer `index`: its context, and the rows to add it to.

        Both are (T, H), and (R, H) in the last layer. The rows to add it to are those that
        attention reads, or those of `carried` where the layer normalises before attention.
        """
        name, packing = f"layers.{index}.attention", self.packing
        with self.graph.scope("attention"):
            whole = self.linear.rows(rows, name)
            if index < self.config.num_hidden_layers - 1:
                query, key, value = (
                    self._spread(whole, f"{name}.{part}", packing["pad_index"])
                    for part in ("query", "key", "value")
                )
                return self._attend(query, key, value, packing["unpad_index"]), carried or rows
            key, value = (
                self._spread(whole, f"{name}.{part}", packing["pad_index"])
                for part in ("key", "value")
            )
            read = self.linear.gather(whole, packing["read_index"])
            query = self._spread(read, f"{name}.query", packing["read_pad_index"])
            context = self._attend(query, key, value, packing["read_unpad_index"])
            if carried is None:
                return context, read.values
            return context, self.graph.node("Gather", carried, packing["read_index"], axis=0)

    def product(
        self, values: str, name: str, *, residual: str | None = None, activated: bool = False
    ) -> str:
        """The named product and what is added to it; `activated` rows come from an activation."""
        least = LEAST[self.config.hidden_act] if activated else None
        rows = self.linear.rows(values, name, least=least)
        return self.linear.project(rows, name, residual=residual)

    def activated_product(self, values: str, name: str) -> str:
        """The named product and the non-linearity of the configuration."""
        return self.linear.project(self.linear.rows(values, name), name, activation=self.activation)

    def activation(self, value: str) -> str:
        """The non-linearity of the configuration."""
        match self.config.hidden_act:
            case "gelu":
                return self.graph.node("Gelu", value)
            case "gelu_new" | "gelu_pytorch_tanh":
                return self.graph.node("Gelu", value, approximate="tanh")
            case "relu":
                return self.graph.node("Relu", value)
            case other:
                raise ValueError(f"expected a hidden_act that is known, found {other!r}")

    def norm(self, rows: str, name: str, *, exact: bool = False) -> str:
        """Layer normalisation; the operator computes in float32 whatever the type of the rows.

        `exact` keeps its weights in float32 too, in every precision: for heads.
        """
        weight = self.linear.exact_weight if exact else self.linear.weight
        return self.graph.node(
            "LayerNormalization",
            rows,
            weight(f"{name}.weight"),
            weight(f"{name}.bias"),
            axis=-1,
            epsilon=self.config.layer_norm_eps,
        )

    def _spread(self, rows: Rows, name: str, pad_index: str) -> str:
        """A product of packed rows, laid out by text: (T, H) -> (B, S, H).

        One product for queries, keys and values together, split afterwards, was measured slower.
        """
        return self.graph.node("Gather", self.linear.project(rows, name), pad_index, axis=0)

    def _attend(self, query: str, key: str, value: str, unpad: str) -> str:
        """Scaled dot-product attention over padded texts: (B, Q, H), (B, S, H) -> packed (R, H)."""
        heads = self.config.num_attention_heads
        inputs = (query, key, value, "", "", "", self.packing["lengths"])
        context = self.graph.node("Attention", *inputs, q_num_heads=heads, kv_num_heads=heads)
        flat = self.graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        return self.graph.node("Gather", self.graph.node("Reshape", context, flat), unpad, axis=0)
