"""int8 linear layers whose answer does not depend on what else is in the batch.

Weights are int8 with one scale per output column, activations uint8 with one scale per row. That
scale comes from the row alone, so a text gets the same answer in any batch; one scale for the whole
tensor, the usual dynamic quantisation, would not give it. The product is exact, in integers:

    m = max |x| of the row            q = round(x / (m / 127)) + 128          (uint8)
    y = (q - 128) · W_q · s_col · (m / 127) + b                             (float32)

What an activation gives goes far up, but hardly below zero: 128 levels there would be wasted. Its
rows keep 24 for what is below zero, and have nearly twice as many above it:

    m = max x of the row, or more     q = round(x / (m / 231)) + 24

The word table is int8 with one scale per row and serves lookup and decoder alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.graph.builder import CONTRIB_DOMAIN, GraphBuilder
from export.graph.linear import Linear, Rows
from export.read.weights import DECODER_BIAS, WORD_TABLE, Weights, decoder_table

LEVELS = 127  # symmetric int8: -127..127
HIGHEST = 255  # of uint8
ZERO_POINT = 128  # of rows that go as far down as up
LOW_ZERO_POINT = 24  # of an activation's rows: GELU's -0.17 has 24 steps where a row reaches 1.6
SCALE_BITS = 15  # of a weight's scale: times a level, and halved or tripled, it is still a float32
SMALLEST_PEAK = np.float32(1e-30)  # keeps a weight row of zeros from dividing by zero


@dataclass(frozen=True)
class Quantised:
    """int8 values and the float32 scale of each row: `values * scale[:, None]` is the original."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]


def quantise_rows(matrix: NDArray[np.float32]) -> Quantised:
    """Symmetric int8 with the scale of each row's largest magnitude: (rows, n) -> int8 (rows, n).

    The scale is rounded so that float32 holds every level of the row exactly: what is quantised
    again gives the same integers and scales, to the bit.

    A scale of least squared error (clipping a few outliers) was tried: agreement and cosines stayed
    where they were, and export took longer.

    >>> quantise_rows(np.array([[1.0, -0.6, 0.25]], np.float32)).values.tolist()
    [[127, -76, 32]]
    """
    scale = np.maximum(np.abs(matrix).max(axis=1), SMALLEST_PEAK) / np.float32(LEVELS)
    scale = round_to_bits(scale, SCALE_BITS)
    return Quantised(np.rint(matrix / scale[:, None]).astype(np.int8), scale)


def round_to_bits(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The nearest numbers of so many significant bits.

    >>> round_to_bits(np.array([0.7, 5.1, 100.0], np.float32), 2).tolist()
    [0.75, 6.0, 96.0]
    """
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float32] = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


class Int8Linear(Linear):
    """int8 products for the encoder and the decoder, float32 for the small heads."""

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        super().__init__(graph, weights)
        self._one = graph.constant(np.float32(1).reshape(()))
        self._zero = graph.constant(np.uint8(ZERO_POINT).reshape(()))
        self._endless = graph.constant(np.float32(np.finfo(np.float32).max).reshape(()))
        self._axis = graph.constant(np.array([-1], np.int64))

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:
        """Quantise each row by how far it goes itself: uint8 (rows, n) and float32 (rows, 1).

        A row of zeros is divided by 0 and becomes arbitrary integers, but is then multiplied by its
        step, 0: no guard is needed.
        """
        near, factor, graph = values, f"{name}.factor", self.graph
        if factor in self.weights:  # far columns are brought near, where the part is smoothed
            near = graph.node("Mul", values, self.weight(factor))
        if least is None:
            zero_point = ZERO_POINT
            peak = graph.node("ReduceMax", graph.node("Abs", near), self._axis, keepdims=1)
        else:
            zero_point = LOW_ZERO_POINT if least < 0 else 0
            peak = graph.node("ReduceMax", near, self._axis, keepdims=1)
        if least is not None and least < 0:  # the levels below zero reach `least` at any rate
            reaching = np.float32(-least / zero_point * (HIGHEST - zero_point))
            peak = graph.node("Max", peak, graph.constant(reaching.reshape(1, 1)))
        levels = graph.constant(np.float32(1 / (HIGHEST - zero_point)).reshape(()))
        step = graph.node("Mul", peak, levels)
        zero = graph.constant(np.uint8(zero_point).reshape(()))
        # Along an axis the operator wants as many zero points as scales: the same for every row.
        steps = graph.node("Squeeze", step, self._axis)
        zeros = graph.node("QuantizeLinear", steps, self._endless, zero)
        return Rows(values, graph.node("QuantizeLinear", near, steps, zeros, axis=0), step, zero)

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick rows in all three forms; a quantised row stays what it was."""
        values, quantised, step = (
            self.graph.node("Gather", form, index, axis=0)
            for form in (rows.values, rows.quantised, rows.step)
        )
        return Rows(values, quantised, step, rows.zero)

    def product(self, rows: Rows, name: str) -> str:
        """One integer product, scaled back by row, then bias."""
        weight, scale = self._columns(name)
        inputs = (rows.quantised, weight, self._one, scale, rows.zero)
        product = self.graph.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB_DOMAIN)
        return self._biased(self.graph.node("Mul", product, rows.step), f"{name}.bias")

    def lookup(self, name: str, index: str) -> str:
        """The word table from int8; position and segment tables are small and stay float32."""
        if name != WORD_TABLE:
            return super().lookup(name, index)
        graph = self.graph
        table, scales, _ = self._table(name)
        scale = graph.node("Gather", scales, graph.node("Unsqueeze", index, self._axis), axis=0)
        values = graph.node("Gather", table, index, axis=0)
        values = graph.node("Cast", values, to=TensorProto.FLOAT)
        return graph.node("Mul", values, scale)

    def decode(self, values: str) -> str:
        """The vocabulary product against the int8 table: QGemm takes it by rows, as stored."""
        table, scales, zeros = self._table(decoder_table(self.weights))
        rows = self.rows(values)
        inputs = (rows.quantised, self._one, rows.zero, table, scales, zeros)
        product = self.graph.node("QGemm", *inputs, domain=CONTRIB_DOMAIN, transB=1)
        return self._biased(self.graph.node("Mul", product, rows.step), DECODER_BIAS)

    def _biased(self, product: str, bias: str) -> str:
        if bias not in self.weights:
            return product
        return self.graph.node("Add", product, self.weight(bias))

    def _columns(self, name: str) -> tuple[str, str]:
        """int8 (in, out) and the float32 (out,) scales of a layer."""
        quantised = quantise_rows(self.weights[f"{name}.weight"])
        weight = self.graph.weight(f"{name}.int8", np.ascontiguousarray(quantised.values.T))
        return weight, self.graph.weight(f"{name}.scale", quantised.scale)

    def _table(self, name: str) -> tuple[str, str, str]:
        """int8 (V, H), its float32 (V,) scales and int8 (V,) zero points."""
        if not self.graph.has_weight(f"{name}.int8"):
            quantised = quantise_rows(self.weights[name])
            self.graph.weight(f"{name}.int8", quantised.values)
            self.graph.weight(f"{name}.scale", quantised.scale)
            self.graph.weight(f"{name}.zero", np.zeros(len(quantised.scale), np.int8))
        return f"{name}.int8", f"{name}.scale", f"{name}.zero"
