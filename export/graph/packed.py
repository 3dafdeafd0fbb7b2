"""What computes on packed rows, for any architecture: products, norms, attention, read rows.

What differs from a textbook's encoder is which rows are computed:

* Packed rows. Texts lie end to end, so every token-wise operation runs on `(tokens, hidden)` and
  nothing is spent on padding. Around attention only, `pad_index` spreads rows to `(batch, seq)` and
  `unpad_index` collects them again.
* Read rows. In the last layer keys and values are computed for all rows; queries, attention output,
  feed-forward and norms only for the rows in `read_index`, those that some head reads.

Letters: T tokens, B texts, S longest text, R read rows, Q most read rows of a text, H hidden,
A attention heads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from export.graph.builder import GraphBuilder
from export.graph.linear import Linear, Rows
from export.graph.places import Places, Scores, Turned
from export.read.config import EncoderConfig
from export.read.weights import Float32
from models.pooling import PoolingModule

# No activation gives less: GELU's minimum is -0.16997, that of its tanh approximation -0.17004,
# that of SiLU -0.27846.
LEAST = {
    "gelu": -0.1701,
    "gelu_new": -0.1701,
    "gelu_pytorch_tanh": -0.1701,
    "relu": 0.0,
    "silu": -0.2785,
}


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
    sparse: bool = False
    """Whether to give what sparse vectors are made of by the masked language model."""

    @property
    def tap_inputs(self) -> list[str]:
        """Names of the inputs that pick rows of the extra layers: ["layer_-2_index"]."""
        return [f"layer_{layer}_index" for layer in self.layers]


class PackedEncoder:
    """What an `Architecture` builds its layers of."""

    def __init__(self, graph: GraphBuilder, config: EncoderConfig, linear: Linear) -> None:
        self.graph = graph
        self.config = config
        self.linear = linear
        self.places = Places(graph)

    def token_input(self, name: str) -> str:
        """A graph input with a number for each packed token: int64 (T,)."""
        return self.places.token_input(name)

    def attention(
        self,
        index: int,
        rows: str,
        *,
        name: str | None = None,
        carried: str | None = None,
        turned: Turned | None = None,
        scores: Scores | None = None,
        scale: float | None = None,
    ) -> tuple[str, str]:
        """Self-attention of layer `index`: its context, and the rows to add it to.

        Both are (T, H), and (R, H) in the last layer. The rows to add it to are those that
        attention reads, or those of `carried` where the layer normalises before attention.
        `turned` turns queries and keys; what `scores` gives is added to their scores, which are
        multiplied by `scale`, 1 / √(H / A) unless given. Its weights are called after the layer, or
        after `name` where layers share them.
        """
        name, packing = f"{name or f'layers.{index}'}.attention", self.places.packing
        last = index == self.config.num_hidden_layers - 1
        of_queries = "read_" if last else ""
        with self.graph.scope("attention"):
            whole = self.linear.rows(rows, name)
            read = self.linear.gather(whole, packing["read_index"]) if last else whole
            key = self._spread(self._project(whole, f"{name}.key", turned), packing["pad_index"])
            value = self._spread(self._project(whole, f"{name}.value"), packing["pad_index"])
            query = self._project(read, f"{name}.query", turned, read=last)
            query = self._spread(query, packing[f"{of_queries}pad_index"])
            mask = "" if scores is None else scores(query, key, read=last)
            unpad = packing[f"{of_queries}unpad_index"]
            context = self._attend(query, key, value, mask, unpad, scale)
            if not last:
                return context, carried or rows
            if carried is None:
                return context, read.values
            return context, self.graph.node("Gather", carried, packing["read_index"], axis=0)

    def rotary(self, frequencies: Float32) -> Turned:
        """Turns by rotary positions (Su et al. 2021, arXiv:2104.09864).

        Column i of a head's D turns with column i + D/2, by position times frequency i of (D/2,).
        """
        first = self.graph.constant(np.array([0], np.int64))

        def turned(rows: str, *, read: bool) -> str:
            cos, sin = map(self.linear.narrow, self.places.angles(frequencies, read=read))
            whole = self.graph.node("Unsqueeze", rows, first)
            heads = self.config.num_attention_heads
            whole = self.graph.node("RotaryEmbedding", whole, cos, sin, num_heads=heads)
            return self.graph.node("Squeeze", whole, first)

        return turned

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

    def gated_product(self, values: str, name: str, gate: str) -> str:
        """The named product and the non-linearity, times the product called `gate`: (T, I)."""
        rows = self.linear.rows(values, name)
        inner = self.linear.project(rows, name, activation=self.activation)
        return self.graph.node("Mul", inner, self.linear.project(rows, gate))

    def activation(self, value: str, name: str | None = None) -> str:
        """The named non-linearity, or that of the configuration."""
        match name or self.config.hidden_act:
            case "gelu":
                return self.graph.node("Gelu", value)
            case "gelu_new" | "gelu_pytorch_tanh":
                return self.graph.node("Gelu", value, approximate="tanh")
            case "relu":
                return self.graph.node("Relu", value)
            case "silu":
                return self.graph.node("Mul", value, self.graph.node("Sigmoid", value))
            case "tanh":
                return self.graph.node("Tanh", value)
            case other:
                raise ValueError(f"expected a hidden_act that is known, found {other!r}")

    def norm(self, rows: str, name: str, *, exact: bool = False) -> str:
        """Layer normalisation; the operator computes in float32 whatever the type of the rows.

        `exact` keeps its weights in float32 too, in every precision: for heads.
        """
        weight = self.linear.exact_weight if exact else self.linear.weight
        bias = [weight(f"{name}.bias")] if f"{name}.bias" in self.linear.weights else []
        return self.graph.node(
            "LayerNormalization",
            rows,
            weight(f"{name}.weight"),
            *bias,
            axis=-1,
            epsilon=self.config.layer_norm_eps,
        )

    def _project(
        self, rows: Rows, name: str, turned: Turned | None = None, *, read: bool = False
    ) -> str:
        """A product of packed rows, turned by their positions: (T, H) or (R, H).

        One product for queries, keys and values together, split afterwards, was measured slower.
        """
        product = self.linear.project(rows, name)
        return product if turned is None else turned(product, read=read)

    def _spread(self, rows: str, pad_index: str) -> str:
        """Packed rows, laid out by text: (T, H) -> (B, S, H), or (R, H) -> (B, Q, H)."""
        return self.graph.node("Gather", rows, pad_index, axis=0)

    def _attend(
        self, query: str, key: str, value: str, mask: str, unpad: str, scale: float | None
    ) -> str:
        """Scaled dot-product attention over padded texts: (B, Q, H), (B, S, H) -> packed (R, H)."""
        heads = self.config.num_attention_heads
        inputs = (query, key, value, mask, "", "", self.places.packing["lengths"])
        options: dict[str, Any] = {} if scale is None else {"scale": scale}
        context = self.graph.node(
            "Attention", *inputs, q_num_heads=heads, kv_num_heads=heads, **options
        )
        flat = self.graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        return self.graph.node("Gather", self.graph.node("Reshape", context, flat), unpad, axis=0)
