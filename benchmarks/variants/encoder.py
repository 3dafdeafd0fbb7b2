"""Other forms of the encoder: attention, norms, activations, the layout of queries, keys, values.

Each class overrides the one part of the exporter's graph that it does otherwise.
"""

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto

from export.graph.bert import LEAST, BertGraph, Inputs
from export.graph.linear import Rows


class MultiHeadAttention(BertGraph):
    """ONNX Runtime's own attention operator, told the length of each text."""

    def _attend(self, query: str, key: str, value: str, lengths: str, unpad: str) -> str:
        graph = self.graph
        heads = self.config.num_attention_heads
        counts = graph.node("Cast", lengths, to=TensorProto.INT32)
        inputs = (query, key, value, "", counts)
        context = graph.contrib("MultiHeadAttention", *inputs, num_heads=heads)
        flat = graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        return graph.node("Gather", graph.node("Reshape", context, flat), unpad, axis=0)


class SkipLayerNormalization(BertGraph):
    """Addition of the residual and normalisation in one operator of ONNX Runtime."""

    def _after_attention(self, name: str, residual: str, context: str) -> str:
        linear = self.linear
        with self.graph.scope("attention_output"):
            rows = linear.rows(context, f"{name}.attention.output")
            out = linear.project(rows, f"{name}.attention.output")
            attended = self._skip(out, residual, f"{name}.attention.norm")
        with self.graph.scope("feed_forward"):
            rows = linear.rows(attended, f"{name}.intermediate")
            inner = linear.project(rows, f"{name}.intermediate", activation=self._activation)
            rows = linear.rows(inner, f"{name}.output", least=LEAST[self.config.hidden_act])
            out = linear.project(rows, f"{name}.output")
            return self._skip(out, attended, f"{name}.output.norm")

    def _skip(self, rows: str, residual: str, norm: str) -> str:
        gain, shift = (
            self.graph.weight(f"{norm}.{part}", self.weights[f"{norm}.{part}"])
            for part in ("weight", "bias")
        )
        epsilon = self.config.layer_norm_eps
        inputs = (rows, residual, gain, shift)
        return self.graph.contrib("SkipLayerNormalization", *inputs, epsilon=epsilon)


class ErfGelu(BertGraph):
    """GELU from its parts: x / 2 · (1 + erf(x / √2))."""

    def _activation(self, value: str) -> str:
        graph = self.graph
        half, one, root = (
            graph.constant(np.array(number, np.float32)) for number in (0.5, 1.0, 2**0.5)
        )
        error = graph.node("Erf", graph.node("Div", value, root))
        return graph.node("Mul", graph.node("Mul", value, half), graph.node("Add", error, one))


class FastGelu(BertGraph):
    """GELU by its tanh approximation, in one operator of ONNX Runtime: another function."""

    def _activation(self, value: str) -> str:
        return self.graph.contrib("FastGelu", value)


class OneProduct(BertGraph):
    """Queries, keys and values in one product; what is read of it is found by index.

    A row (3·H) of the product is seen as three rows (H), so that the gather that spreads a text's
    rows picks the right third and nothing has to be split. Weights must be `JoinedWeights`.
    """

    def _layer(self, index: int, rows: str, inputs: Inputs) -> str:
        name = f"layers.{index}"
        with self.graph.scope(name):
            with self.graph.scope("attention"):
                whole = self.linear.rows(rows, f"{name}.attention")
                parts = self._parts(whole, f"{name}.attention.qkv", 3, inputs.pad_index)
                query, key, value = parts
                context = self._attend(query, key, value, inputs.lengths, inputs.unpad_index)
            return self._after_attention(name, rows, context)

    def _parts(self, rows: Rows, name: str, count: int, pad_index: str) -> Sequence[str]:
        graph = self.graph
        product = self.linear.project(rows, name)
        width = graph.constant(np.array([-1, self.config.hidden_size], np.int64))
        thirds = graph.node("Reshape", product, width)
        first = graph.node("Mul", pad_index, graph.constant(np.array(count, np.int64)))
        places = (
            graph.node("Add", first, graph.constant(np.array(part, np.int64)))
            for part in range(count)
        )
        return [graph.node("Gather", thirds, place, axis=0) for place in places]


class OneProductSplit(OneProduct):
    """Queries, keys and values in one product that is split."""

    def _parts(self, rows: Rows, name: str, count: int, pad_index: str) -> Sequence[str]:
        product = self.linear.project(rows, name)
        parts = self.graph.nodes("Split", product, outputs=count, axis=1, num_outputs=count)
        return [self.graph.node("Gather", part, pad_index, axis=0) for part in parts]
