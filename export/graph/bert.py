"""A canonical checkpoint in, the packed read-rows ONNX graph of BERT out.

The graph reads like the paper (Devlin et al. 2018, arXiv:1810.04805): embeddings, layers, heads,
one function each. What differs is which rows are computed:

* Packed rows. Texts lie end to end, so every token-wise operation runs on `(tokens, hidden)` and
  nothing is spent on padding. Around attention only, `pad_index` spreads rows to `(batch, seq)` and
  `unpad_index` collects them again.
* Read rows. In the last layer keys and values are computed for all rows; queries, attention output,
  feed-forward and norms only for the rows in `read_index`, those that some head reads.
* Heads on gathered rows. Each head has an index input into the read rows. A head whose index is
  empty computes on zero rows and costs nothing, so one run serves all tasks mixed.

Letters: T tokens, B texts, S longest text, R read rows, Q most read rows of a text, H hidden,
V vocabulary, L layers. Knows nothing of files, tokenizers or HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from export.graph.builder import GraphBuilder
from export.graph.linear import Linear, Rows
from export.read.checkpoint import Weights
from export.read.config import BertConfig

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
# No activation gives less: GELU's minimum is -0.16997, that of its tanh approximation -0.17004.
LEAST = {"gelu": -0.1701, "gelu_new": -0.1701, "gelu_pytorch_tanh": -0.1701, "relu": 0.0}


@dataclass(frozen=True)
class GraphSpec:
    """Which graph to build: the shape of the encoder, the heads it has, the extra layers read."""

    config: BertConfig
    heads: tuple[str, ...]
    layers: tuple[int, ...] = ()
    """Hidden layers that can be pooled besides the last, as negative indices: (-2,)."""


@dataclass(frozen=True)
class Inputs:
    """Names of the graph's inputs that more than one part of it uses."""

    pad_index: str
    unpad_index: str
    lengths: str
    read_index: str
    read_pad_index: str
    read_unpad_index: str


class BertGraph:
    """Adds BERT to a `GraphBuilder`, part by part; `build` is the order of the paper."""

    def __init__(
        self, graph: GraphBuilder, spec: GraphSpec, weights: Weights, linear: Linear
    ) -> None:
        self.graph = graph
        self.spec = spec
        self.config = spec.config
        self.weights = weights
        self.linear = linear

    def build(self) -> None:
        """Embeddings, L layers, heads."""
        rows = self._embeddings()
        inputs = self._layout_inputs()
        tapped = {}
        depth = self.config.num_hidden_layers
        for index in range(depth - 1):
            rows = self._layer(index, rows, inputs)
            tapped[index - depth] = rows
        read_rows = self._last_layer(depth - 1, rows, inputs)
        self._heads(read_rows, [tapped[layer] for layer in self.spec.layers])

    # --- embeddings ---------------------------------------------------------------------------

    def _embeddings(self) -> str:
        """Word + position + segment vectors, normalised: (T, H)."""
        graph = self.graph
        ids = graph.input("input_ids", INT64, ["tokens"])
        types = graph.input("token_type_ids", INT64, ["tokens"])
        positions = graph.input("position_ids", INT64, ["tokens"])
        with graph.scope("embeddings"):
            total = graph.node(
                "Add",
                self.linear.lookup("embeddings.word", ids),
                self.linear.lookup("embeddings.position", positions),
            )
            total = graph.node("Add", total, self.linear.lookup("embeddings.token_type", types))
            return self._norm(total, "embeddings.norm")

    def _layout_inputs(self) -> Inputs:
        graph = self.graph
        return Inputs(
            pad_index=graph.input("pad_index", INT64, ["batch", "sequence"]),
            unpad_index=graph.input("unpad_index", INT64, ["tokens"]),
            lengths=graph.input("lengths", INT64, ["batch"]),
            read_index=graph.input("read_index", INT64, ["reads"]),
            read_pad_index=graph.input("read_pad_index", INT64, ["batch", "queries"]),
            read_unpad_index=graph.input("read_unpad_index", INT64, ["reads"]),
        )

    # --- encoder ------------------------------------------------------------------------------

    def _layer(self, index: int, rows: str, inputs: Inputs) -> str:
        """One encoder layer on all rows: (T, H) -> (T, H)."""
        name = f"layers.{index}"
        with self.graph.scope(name):
            with self.graph.scope("attention"):
                whole = self.linear.rows(rows, f"{name}.attention")
                query, key, value = (
                    self._spread(whole, f"{name}.attention.{part}", inputs.pad_index)
                    for part in ("query", "key", "value")
                )
                context = self._attend(query, key, value, inputs.lengths, inputs.unpad_index)
            return self._after_attention(name, rows, context)

    def _last_layer(self, index: int, rows: str, inputs: Inputs) -> str:
        """The last layer: keys and values of all rows, the rest for read rows: (T, H) -> (R, H)."""
        name = f"layers.{index}"
        with self.graph.scope(name):
            with self.graph.scope("attention"):
                whole = self.linear.rows(rows, f"{name}.attention")
                key, value = (
                    self._spread(whole, f"{name}.attention.{part}", inputs.pad_index)
                    for part in ("key", "value")
                )
                read = self.linear.gather(whole, inputs.read_index)
                query = self._spread(read, f"{name}.attention.query", inputs.read_pad_index)
                context = self._attend(query, key, value, inputs.lengths, inputs.read_unpad_index)
            return self._after_attention(name, read.values, context)

    def _spread(self, rows: Rows, name: str, pad_index: str) -> str:
        """A product of packed rows, laid out by text: (T, H) -> (B, S, H).

        One product for queries, keys and values together, split afterwards, was measured slower.
        """
        return self.graph.node("Gather", self.linear.project(rows, name), pad_index, axis=0)

    def _attend(self, query: str, key: str, value: str, lengths: str, unpad: str) -> str:
        """Scaled dot-product attention over padded texts: (B, Q, H), (B, S, H) -> packed (R, H)."""
        heads = self.config.num_attention_heads
        context = self.graph.node(
            "Attention",
            query,
            key,
            value,
            "",
            "",
            "",
            lengths,
            q_num_heads=heads,
            kv_num_heads=heads,
        )
        flat = self.graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        return self.graph.node("Gather", self.graph.node("Reshape", context, flat), unpad, axis=0)

    def _after_attention(self, name: str, residual: str, context: str) -> str:
        """Attention output, then the feed-forward block, each added to its input and normalised."""
        with self.graph.scope("attention_output"):
            attended = self.linear.project(
                self.linear.rows(context, f"{name}.attention.output"),
                f"{name}.attention.output",
                residual=residual,
            )
            attended = self._norm(attended, f"{name}.attention.norm")
        with self.graph.scope("feed_forward"):
            inner = self.linear.project(
                self.linear.rows(attended, f"{name}.intermediate"),
                f"{name}.intermediate",
                activation=self._activation,
            )
            least = LEAST[self.config.hidden_act]
            inner_rows = self.linear.rows(inner, f"{name}.output", least=least)
            out = self.linear.project(inner_rows, f"{name}.output", residual=attended)
            return self._norm(out, f"{name}.output.norm")

    def _activation(self, value: str) -> str:
        match self.config.hidden_act:
            case "gelu":
                return self.graph.node("Gelu", value)
            case "gelu_new" | "gelu_pytorch_tanh":
                return self.graph.node("Gelu", value, approximate="tanh")
            case "relu":
                return self.graph.node("Relu", value)
            case other:
                raise ValueError(f"expected an activation that BertConfig allows, found {other!r}")

    def _norm(self, rows: str, name: str, *, exact: bool = False) -> str:
        """Layer normalisation; the operator computes in float32 whatever the type of the rows."""
        weight = self._exact_weight if exact else self.linear.weight
        return self.graph.node(
            "LayerNormalization",
            rows,
            weight(f"{name}.weight"),
            weight(f"{name}.bias"),
            axis=-1,
            epsilon=self.config.layer_norm_eps,
        )

    def _exact_weight(self, name: str) -> str:
        return self.graph.weight(name, self.weights[name])

    # --- heads --------------------------------------------------------------------------------

    def _heads(self, read_rows: str, tapped: Sequence[str]) -> None:
        """Pooling and every head, in float32: the rows they read are few."""
        read_rows = self.linear.widen(read_rows)
        self._pooling(read_rows, tapped)
        heads = self.spec.heads
        if "mlm" in heads:
            self._masked_language_model(read_rows)
        if "pooler" in heads:
            pooled = self._pooler(read_rows)
            for head in ("nsp", "sequence"):
                if head in heads:
                    self._logits(pooled, head, f"{head}_logits", "pooler_rows")
        token_index = self.graph.input("token_index", INT64, ["token_rows"])
        token_rows = self.graph.node("Gather", read_rows, token_index, axis=0)
        self._publish(token_rows, "token_vectors", "token_rows", self.config.hidden_size)
        for head in ("token", "qa"):
            if head in heads:
                self._logits(token_rows, head, f"{head}_logits", "token_rows")

    def _pooling(self, read_rows: str, tapped: Sequence[str]) -> None:
        """Sentence vectors: weighted sums (mean, [CLS]) and maxima over the rows of each text.

        `pool_index` (P, K) names each text's rows, first those of the last layer, then those of the
        tapped layers; short lists repeat a row of their own text with weight zero.
        """
        graph = self.graph
        with graph.scope("pooling"):
            source = read_rows
            if tapped:
                taps = [
                    graph.node("Gather", rows, graph.input(name, INT64, [f"{name}_rows"]), axis=0)
                    for rows, name in zip(tapped, tap_inputs(self.spec.layers), strict=True)
                ]
                taps = [self.linear.widen(rows) for rows in taps]
                source = graph.node("Concat", read_rows, *taps, axis=0)
            index = graph.input("pool_index", INT64, ["pooled", "pool_rows"])
            weights = graph.input("pool_weights", FLOAT, ["pooled", 1, "pool_rows"])
            summed = graph.node(
                "MatMul", weights, graph.node("Gather", source, index, axis=0)
            )  # (P, 1, K) @ (P, K, H)
            axis = graph.constant(np.array([1], np.int64))
            self._publish(
                graph.node("Squeeze", summed, axis), "pooled", "pooled", self.config.hidden_size
            )
            index = graph.input("max_index", INT64, ["maxima", "max_rows"])
            maxima = graph.node(
                "ReduceMax", graph.node("Gather", source, index, axis=0), axis, keepdims=0
            )
            self._publish(maxima, "pooled_max", "maxima", self.config.hidden_size)

    def _pooler(self, read_rows: str) -> str:
        """Tanh of a product on the [CLS] rows: float32 (N, H)."""
        with self.graph.scope("pooler"):
            index = self.graph.input("pooler_index", INT64, ["pooler_rows"])
            cls = self.graph.node("Gather", read_rows, index, axis=0)
            return self.graph.node("Tanh", self.linear.exact(cls, "pooler"))

    def _logits(self, rows: str, head: str, output: str, count: str) -> None:
        """A head that is one product: NSP, sequence, token and question-answering logits."""
        with self.graph.scope(head):
            width = self.weights.shape(f"{head}.weight")[0]
            self._publish(self.linear.exact(rows, head), output, count, width)

    def _masked_language_model(self, read_rows: str) -> None:
        """Log-probabilities at mask rows: the k best of the vocabulary, and requested targets."""
        graph = self.graph
        mlm_index = graph.input("mlm_index", INT64, ["masks"])
        top_k = graph.input("top_k", INT64, [1])
        targets = graph.input("targets", INT64, ["targets", 2])
        with graph.scope("mlm"):
            rows = graph.node("Gather", read_rows, mlm_index, axis=0)
            rows = self._activation(self.linear.exact(rows, "mlm.transform"))
            rows = self._norm(rows, "mlm.norm", exact=True)
            logits = self.linear.decode(rows)
            log_probabilities = graph.node("LogSoftmax", logits, axis=-1)
            values, ids = graph.nodes("TopK", log_probabilities, top_k, outputs=2, axis=-1)
            wanted = graph.node("GatherND", log_probabilities, targets)
        graph.output(values, "mlm_log_probabilities", FLOAT, ["masks", "k"])
        graph.output(ids, "mlm_ids", INT64, ["masks", "k"])
        graph.output(wanted, "target_log_probabilities", FLOAT, ["targets"])

    def _publish(self, value: str, name: str, count: str, width: int) -> None:
        self.graph.output(value, name, FLOAT, [count, width])


def tap_inputs(layers: Sequence[int]) -> list[str]:
    """Names of the inputs that pick rows of the extra layers.

    >>> tap_inputs((-2, -4))
    ['layer_-2_index', 'layer_-4_index']
    """
    return [f"layer_{layer}_index" for layer in layers]
