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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import TensorProto

from export.graph.builder import GraphBuilder
from export.graph.linear import Linear, Rows
from export.read.config import EncoderConfig

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
FIRST_AXIS, LAST_AXIS = np.array([0], np.int64), np.array([-1], np.int64)
# No activation gives less: GELU's minimum is -0.16997, that of its tanh approximation -0.17004.
LEAST = {"gelu": -0.1701, "gelu_new": -0.1701, "gelu_pytorch_tanh": -0.1701, "relu": 0.0}


@dataclass(frozen=True)
class GraphSpec:
    """Which graph to build: the shape of the encoder, the heads it has, the extra layers read."""

    config: EncoderConfig
    heads: tuple[str, ...]
    layers: tuple[int, ...] = ()
    """Hidden layers that can be pooled besides the last, as negative indices: (-2,)."""

    @property
    def tap_inputs(self) -> list[str]:
        """Names of the inputs that pick rows of the extra layers: ["layer_-2_index"]."""
        return [f"layer_{layer}_index" for layer in self.layers]


Turned = Callable[[str, bool], str]
"""Queries or keys (T, H), or (R, H) where the flag says that only read rows are there -> turned."""
Scores = Callable[[str, str, bool], str]
"""Queries (B, Q, H) and keys (B, S, H), and whether only read rows have queries -> what is added to
their scores, or true where they count: (1 or B, 1 or A, Q, S)."""

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
        self._made: dict[str, str] = {}

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A value that several layers use: made where it is first asked for."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def token_input(self, name: str) -> str:
        """A graph input with a number for each packed token: int64 (T,)."""
        return self.once(name, lambda: self.graph.input(name, INT64, ["tokens"]))

    def positions(self, *, read: bool) -> str:
        """Where in its text each token, or each read row, stands: int64 (T,) or (R,), from 0."""
        positions = self.token_input("position_ids")
        if not read:
            return positions
        index = self.packing["read_index"]
        return self.once("read", lambda: self.graph.node("Gather", positions, index, axis=0))

    def positions_behind(self, padding: int) -> str:
        """The number `padding` and how many tokens of the text there are so far: int64 (T,).

        A text may spell the padding token: that one gets `padding` for its position, and the others
        are counted without it.
        """
        graph, packing = self.graph, self.packing
        first = graph.constant(np.array(padding, np.int64))
        is_padding = graph.node("Equal", self.token_input("input_ids"), first)
        counted = graph.node("Cast", graph.node("Not", is_padding), to=INT64)
        by_text = graph.node("Gather", counted, packing["pad_index"], axis=0)  # (B, S)
        so_far = graph.node("CumSum", by_text, graph.constant(np.array(1, np.int64)))
        flat = graph.node("Reshape", so_far, graph.constant(LAST_AXIS))
        packed = graph.node("Gather", flat, packing["unpad_index"], axis=0)
        return graph.node("Add", graph.node("Mul", packed, counted), first)

    def distances(self, *, read: bool) -> str:
        """How far behind its query each key stands: int64 (1, S, S), or (B, Q, S) of read rows."""
        return self.once(f"distances {read}", lambda: self._distances(read=read))

    def _distances(self, *, read: bool) -> str:
        graph, pad_index = self.graph, self.packing["pad_index"]
        number = [graph.constant(np.array(value, np.int64)) for value in (0, 1)]
        length = graph.node("Gather", graph.node("Shape", pad_index), number[1])
        columns = graph.node("Range", number[0], length, number[1])  # (S,)
        rows = columns
        if read:
            pad_index = self.packing["read_pad_index"]
            rows = graph.node("Gather", self.positions(read=True), pad_index, axis=0)  # (B, Q)
        behind = graph.node(
            "Sub", columns, graph.node("Unsqueeze", rows, graph.constant(LAST_AXIS))
        )
        return behind if read else graph.node("Unsqueeze", behind, graph.constant(FIRST_AXIS))

    @cached_property
    def packing(self) -> dict[str, str]:
        """The inputs of packing, declared when they are first asked for."""
        return {name: self.graph.input(name, INT64, shape) for name, shape in PACKING.items()}

    def attention(
        self,
        index: int,
        rows: str,
        *,
        carried: str | None = None,
        turned: Turned | None = None,
        scores: Scores | None = None,
    ) -> tuple[str, str]:
        """Self-attention of layer `index`: its context, and the rows to add it to.

        Both are (T, H), and (R, H) in the last layer. The rows to add it to are those that
        attention reads, or those of `carried` where the layer normalises before attention.
        `turned` turns queries and keys; what `scores` gives is added to their scores.
        """
        name, packing = f"layers.{index}.attention", self.packing
        last = index == self.config.num_hidden_layers - 1
        of_queries = "read_" if last else ""
        with self.graph.scope("attention"):
            whole = self.linear.rows(rows, name)
            read = self.linear.gather(whole, packing["read_index"]) if last else whole
            key = self._spread(self._project(whole, f"{name}.key", turned), packing["pad_index"])
            value = self._spread(self._project(whole, f"{name}.value"), packing["pad_index"])
            query = self._project(read, f"{name}.query", turned, read=last)
            query = self._spread(query, packing[f"{of_queries}pad_index"])
            mask = "" if scores is None else scores(query, key, last)
            context = self._attend(query, key, value, mask, packing[f"{of_queries}unpad_index"])
            if not last:
                return context, carried or rows
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
        return product if turned is None else turned(product, read)

    def _spread(self, rows: str, pad_index: str) -> str:
        """Packed rows, laid out by text: (T, H) -> (B, S, H), or (R, H) -> (B, Q, H)."""
        return self.graph.node("Gather", rows, pad_index, axis=0)

    def _attend(self, query: str, key: str, value: str, mask: str, unpad: str) -> str:
        """Scaled dot-product attention over padded texts: (B, Q, H), (B, S, H) -> packed (R, H)."""
        heads = self.config.num_attention_heads
        inputs = (query, key, value, mask, "", "", self.packing["lengths"])
        context = self.graph.node("Attention", *inputs, q_num_heads=heads, kv_num_heads=heads)
        flat = self.graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        return self.graph.node("Gather", self.graph.node("Reshape", context, flat), unpad, axis=0)
