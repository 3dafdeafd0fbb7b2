"""How a linear layer becomes graph nodes: in float32 and float16 here, in int8 in `quantize`.

The packed encoder asks a `Linear` for every table lookup and matrix product and does not know which
precision it gets.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from export.errors import ExportError
from export.graph.builder import GraphBuilder
from export.read.weights import DECODER_BIAS, Weights, decoder_table

LARGEST_HALF = float(np.finfo(np.float16).max)  # 65504


@dataclass(frozen=True)
class Rows:
    """Rows prepared for products: their values and, in int8, `(quantised - zero) * step`."""

    values: str
    quantised: str = ""
    step: str = ""
    zero: str = ""


class Linear:
    """Lookups and products in float32, for other precisions to override.

    Weights are named as in the canonical checkpoint. Rows of the encoder are float16 in float16 and
    float32 otherwise; what heads get is float32.
    """

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        self.graph = graph
        self.weights = weights

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:  # noqa: ARG002
        """Prepare (rows, in) for the products of the named part, such as `layers.0.attention`.

        No value is below `least`, where it is known.
        """
        return Rows(values)

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick prepared rows."""
        return Rows(self.graph.node("Gather", rows.values, index, axis=0))

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Callable[[str], str] | None = None,
    ) -> str:
        """The named layer: product, bias if any, then residual or activation: (rows, out)."""
        out = self.product(rows, name)
        if residual is not None:
            out = self.graph.node("Add", out, residual)
        return activation(out) if activation is not None else out

    def product(self, rows: Rows, name: str) -> str:
        """The named product with its bias, if any: (rows, out)."""
        return self._gemm(rows.values, name, self.weight)

    def exact(self, values: str, name: str) -> str:
        """A product kept in float32 in every precision: the small heads."""
        return self._gemm(values, name, self.exact_weight)

    def lookup(self, name: str, index: str) -> str:
        """Rows of an embedding table: (tokens, H)."""
        return self.graph.node("Gather", self.weight(name), index, axis=0)

    def decode(self, values: str) -> str:
        """The vocabulary product, tied or separate: float32 (masks, E) -> (masks, V)."""
        table, bias = self.weight(decoder_table(self.weights)), self.weight(DECODER_BIAS)
        return self.graph.node("Gemm", values, table, bias, transB=1)

    def widen(self, values: str) -> str:
        """Rows of the encoder as float32, for heads and outputs."""
        return values

    def narrow(self, values: str) -> str:
        """float32 values in the type of the encoder's rows."""
        return values

    def weight(self, name: str) -> str:
        """A weight of the encoder in the type of its rows."""
        return self.exact_weight(name)

    def exact_weight(self, name: str) -> str:
        """The checkpoint's tensor as it is, in float32."""
        return self.graph.weight(name, self.weights[name])

    def _gemm(self, values: str, name: str, weight: Callable[[str], str]) -> str:
        """One Gemm with the weight as stored, (out, in)."""
        bias = [weight(f"{name}.bias")] if f"{name}.bias" in self.weights else []
        return self.graph.node("Gemm", values, weight(f"{name}.weight"), *bias, transB=1)


class HalfLinear(Linear):
    """float16, for GPUs: half the memory, and what their matrix units are made for.

    Weights and rows of the encoder are float16, and so is the vocabulary product. Sums inside a
    product and normalisations are float32 in ONNX Runtime's kernels; the small heads, pooling,
    softmax and all outputs are float32 in the graph. Where an encoder normalises after each block,
    its rows stay far below float16's largest number; where it does not, parity tells. Attention
    takes lengths, and windows as true and false, so there is no mask value to overflow.
    """

    def decode(self, values: str) -> str:
        """The vocabulary product in float16, whose table serves the lookup too; logits float32."""
        logits = super().decode(self._cast(values, TensorProto.FLOAT16))
        return self._cast(logits, TensorProto.FLOAT)

    def widen(self, values: str) -> str:
        """A Cast."""
        return self._cast(values, TensorProto.FLOAT)

    def narrow(self, values: str) -> str:
        """A Cast."""
        return self._cast(values, TensorProto.FLOAT16)

    def weight(self, name: str) -> str:
        """The checkpoint's tensor, rounded to float16.

        Raises:
            ExportError: a number in it is beyond float16's range.
        """
        label = f"{name}.float16"
        if self.graph.has_weight(label):
            return label
        value = self.weights[name]
        if np.abs(value).max() > LARGEST_HALF:
            raise ExportError(
                f"{name} holds a number beyond {LARGEST_HALF:g}, float16's largest; export in fp32."
            )
        return self.graph.weight(label, value.astype(np.float16))

    def _cast(self, values: str, dtype: int) -> str:
        return self.graph.node("Cast", values, to=dtype)
