"""Other forms of the graph, for CUDA's kernels: attention on packed rows, and what records well.

Each class overrides the one part of the exporter's graph that it does otherwise. Where
nothing else is said, the last layer, whose queries are fewer than its keys, keeps its attention.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.graph.bert import BertGraph, Inputs
from export.graph.linear import Rows

INT32 = TensorProto.INT32


class PackedAttention(BertGraph):
    """ONNX Runtime's attention on packed rows, three products: nothing is padded.

    Its two inputs say where each text begins: `cumulative_lengths` int32 (B + 1), and
    `token_offset` int32 (B, S), the flat slots of all tokens, then those of padding.
    """

    def _layout_inputs(self) -> Inputs:
        inputs = super()._layout_inputs()
        self._offset = self.graph.input("token_offset", INT32, ["batch", "sequence"])
        self._ends = self.graph.input("cumulative_lengths", INT32, ["batch_and_one"])
        return inputs

    def _layer(self, index: int, rows: str, inputs: Inputs) -> str:  # noqa: ARG002
        name = f"layers.{index}"
        with self.graph.scope(name):
            with self.graph.scope("attention"):
                context = self._packed(self.linear.rows(rows, f"{name}.attention"), name)
            return self._after_attention(name, rows, context)

    def _packed(self, whole: Rows, name: str) -> str:
        parts = [
            self.linear.project(whole, f"{name}.attention.{part}")
            for part in ("query", "key", "value")
        ]
        heads = self.config.num_attention_heads
        return self.graph.contrib(
            "PackedMultiHeadAttention", *parts, "", self._offset, self._ends, num_heads=heads
        )


class PackedThroughout(PackedAttention):
    """The same in the last layer too, whose queries are then computed for all rows."""

    def _last_layer(self, index: int, rows: str, inputs: Inputs) -> str:
        name = f"layers.{index}"
        with self.graph.scope(name):
            with self.graph.scope("attention"):
                whole = self.linear.rows(rows, f"{name}.attention")
                context = self._packed(whole, name)
                read = self.graph.node("Gather", context, inputs.read_index, axis=0)
            residual = self.linear.gather(whole, inputs.read_index).values
            return self._after_attention(name, residual, read)


class PackedOneProduct(PackedAttention):
    """The same with queries, keys and values in one product, head by head beside each other."""

    def _packed(self, whole: Rows, name: str) -> str:
        graph, heads, H = self.graph, self.config.num_attention_heads, self.config.hidden_size
        parts = [f"{name}.attention.{part}" for part in ("query", "key", "value")]
        joined = [
            graph.weight(f"{name}.attention.qkv.{kind}", self._interleaved(parts, kind))
            for kind in ("weight", "bias")
        ]
        product = graph.node("Gemm", whole.values, *joined, transB=1)
        shape = graph.constant(np.array([-1, heads, 3, H // heads], np.int64))
        query = graph.node("Reshape", product, shape)
        return graph.contrib(
            "PackedMultiHeadAttention",
            *(query, "", "", "", self._offset, self._ends),
            num_heads=heads,
        )

    def _interleaved(self, parts: list[str], kind: str) -> NDArray[np.floating]:
        """(3·H, ...) in the order head, part, row of the head."""
        heads = self.config.num_attention_heads
        whole = np.stack([self.weights[f"{part}.{kind}"] for part in parts])
        by_head = whole.reshape(3, heads, -1, *whole.shape[2:]).swapaxes(0, 1)
        rows = np.ascontiguousarray(by_head).reshape(-1, *whole.shape[2:])
        return rows.astype(np.float16)


class MultiHeadAttention(BertGraph):
    """ONNX Runtime's own attention on padded texts, told where each begins and how long it is.

    `key_places` int32 (3·B + 2): lengths, then where queries and where keys begin, ends included.
    """

    def _layout_inputs(self) -> Inputs:
        inputs = super()._layout_inputs()
        self._places = self.graph.input("key_places", INT32, ["three_batches_and_two"])
        return inputs

    def _layer(self, index: int, rows: str, inputs: Inputs) -> str:
        name = f"layers.{index}"
        graph = self.graph
        with graph.scope(name):
            with graph.scope("attention"):
                whole = self.linear.rows(rows, f"{name}.attention")
                parts = [
                    self._spread(whole, f"{name}.attention.{part}", inputs.pad_index)
                    for part in ("query", "key", "value")
                ]
                heads = self.config.num_attention_heads
                given = (*parts, "", self._places)
                context = graph.contrib("MultiHeadAttention", *given, num_heads=heads)
                flat = graph.constant(np.array([-1, self.config.hidden_size], np.int64))
                context = graph.node("Reshape", context, flat)
                context = graph.node("Gather", context, inputs.unpad_index, axis=0)
            return self._after_attention(name, rows, context)


class Recordable(BertGraph):
    """The exported graph without the operators that copy sizes from the host on every run.

    No extra layer is pooled, and wanted words are not looked up: for measuring only.
    """

    def build(self) -> None:
        """Leave the extra layers out."""
        self.spec = type(self.spec)(self.spec.config, self.spec.heads)
        super().build()

    def _masked_language_model(self, read_rows: str) -> None:
        graph = self.graph
        index = graph.input("mlm_index", TensorProto.INT64, ["masks"])
        top_k = graph.input("top_k", TensorProto.INT64, [1])
        with graph.scope("mlm"):
            rows = graph.node("Gather", read_rows, index, axis=0)
            rows = self._activation(self.linear.exact(rows, "mlm.transform"))
            rows = self._norm(rows, "mlm.norm", exact=True)
            odds = graph.node("LogSoftmax", self.linear.decode(rows), axis=-1)
            values, ids = graph.nodes("TopK", odds, top_k, outputs=2, axis=-1)
        graph.output(values, "mlm_log_probabilities", TensorProto.FLOAT, ["masks", "k"])
        graph.output(ids, "mlm_ids", TensorProto.INT64, ["masks", "k"])


def places(feeds: "dict[str, NDArray[np.generic]]") -> "dict[str, NDArray[np.generic]]":
    """The inputs that the graphs above have besides the exporter's.

    >>> made = places({
    ...     "lengths": np.array([2, 3]), "unpad_index": np.array([0, 1, 3, 4, 5]),
    ...     "pad_index": np.zeros((2, 3)),
    ... })
    >>> made["token_offset"].tolist(), made["cumulative_lengths"].tolist()
    ([[0, 1, 3], [4, 5, 2]], [0, 2, 5])
    >>> made["key_places"].tolist()
    [2, 3, 0, 3, 6, 0, 3, 6]
    """
    texts, longest = feeds["pad_index"].shape
    slots = feeds["unpad_index"].astype(np.int64)
    padding = np.setdiff1d(np.arange(texts * longest), slots)
    lengths = feeds["lengths"].astype(np.int64)
    begins = np.arange(texts + 1) * longest
    return {
        "token_offset": np.concatenate([slots, padding]).reshape(texts, longest).astype(np.int32),
        "cumulative_lengths": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        "key_places": np.concatenate([lengths, begins, begins]).astype(np.int32),
    }
