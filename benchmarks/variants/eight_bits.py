"""Other forms of int8: where the scales come from, how rows are quantised, what stays in float."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from benchmarks.variants.magnitudes import column_magnitudes
from export.builder import GraphBuilder
from export.graph import BertGraph
from export.linear import Rows
from export.quantize import ZERO_POINT, Int8Linear, quantise_rows
from export.reference import Float32
from export.weights import Weights

MOST_LAYERS = 48  # of any BERT
BLOCK = 128  # columns of a row that share a scale, of `MatMulNBits`
Activation = Callable[[str], str]


class OnTop(Int8Linear):
    """What follows a product, for those that do the product itself otherwise."""

    def _product(self, rows: Rows, name: str) -> str:
        """Multiply and add the bias."""
        raise NotImplementedError

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Activation | None = None,
    ) -> str:
        """One product and bias, then residual or activation."""
        out = self._product(rows, name)
        if residual is not None:
            out = self.graph.node("Add", out, residual)
        return activation(out) if activation is not None else out


class Unprepared(OnTop):
    """Operators that take float32 and quantise it themselves; the decoder stays as it is."""

    def rows(self, values: str) -> Rows:
        """Nothing to prepare."""
        return Rows(values)

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick rows."""
        return self.float.gather(rows, index)

    def decode(self, values: str) -> str:
        """The vocabulary product with a scale for each row."""
        return Int8Linear(self.graph, self.weights).decode(values)


class ScaleOfTensor(Unprepared):
    """One scale for all rows of a batch: an answer depends on its company."""

    def _product(self, rows: Rows, name: str) -> str:
        weight, scale = self._columns(name)
        product = self.graph.contrib("DynamicQuantizeMatMul", rows.values, weight, scale)
        return self._biased(product, f"{name}.bias")


class ScaleOfBlock(Unprepared):
    """One scale for each block of a row, of weights and activations alike."""

    def _product(self, rows: Rows, name: str) -> str:
        matrix = self.weights[f"{name}.weight"]
        out, inner = matrix.shape
        blocks = quantise_rows(matrix.reshape(-1, BLOCK))
        values = (blocks.values.astype(np.int16) + ZERO_POINT).astype(np.uint8)
        weight = self.graph.weight(f"{name}.blocks", values.reshape(out, inner // BLOCK, BLOCK))
        scale = self.graph.weight(f"{name}.scales", blocks.scale.reshape(out, inner // BLOCK))
        shape = {"K": inner, "N": out, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
        product = self.graph.contrib("MatMulNBits", rows.values, weight, scale, **shape)
        return self._biased(product, f"{name}.bias")


class ScaleByMultiplication(Int8Linear):
    """Rows multiplied by the reciprocal of their magnitude, then quantised by one constant."""

    def rows(self, values: str) -> Rows:
        """Bring each row to [-1, 1], then quantise."""
        graph = self.graph
        peak = graph.node("ReduceMax", graph.node("Abs", values), self._axis, keepdims=1)
        unit = graph.node("Mul", values, graph.node("Reciprocal", peak))
        return Rows(values, graph.node("QuantizeLinear", unit, self._step, self._zero), peak)


class MagnitudeOfBothEnds(Int8Linear):
    """The row's magnitude from its maximum and its minimum, without writing |x|."""

    def rows(self, values: str) -> Rows:
        """Quantise each row by the larger of both ends."""
        graph = self.graph
        most = graph.node("ReduceMax", values, self._axis, keepdims=1)
        least = graph.node("ReduceMin", values, self._axis, keepdims=1)
        peak = graph.node("Max", most, graph.node("Neg", least))
        step = graph.node("Squeeze", graph.node("Mul", peak, self._step), self._axis)
        zeros = graph.node("QuantizeLinear", step, self._endless, self._zero)
        return Rows(values, graph.node("QuantizeLinear", values, step, zeros, axis=0), peak)


class SignedActivations(OnTop):
    """int8 activations, which need no zero point."""

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        super().__init__(graph, weights)
        self._signed_zero = graph.constant(np.int8(0).reshape(()), "int8/signed-zero")

    def rows(self, values: str) -> Rows:
        """Quantise each row by its own largest magnitude, around 0."""
        graph = self.graph
        rows = super().rows(values)
        unit = graph.node("Mul", values, graph.node("Reciprocal", rows.scale))
        signed = graph.node("QuantizeLinear", unit, self._step, self._signed_zero)
        return Rows(values, signed, rows.scale)

    def _product(self, rows: Rows, name: str) -> str:
        weight, scale = self._columns(name)
        inputs = (rows.quantised, weight, self._step, scale, self._signed_zero)
        product = self.graph.contrib("MatMulIntegerToFloat", *inputs)
        product = self.graph.node("Mul", product, rows.scale)
        return self._biased(product, f"{name}.bias")

    def decode(self, values: str) -> str:
        """The vocabulary product as it is."""
        return Int8Linear(self.graph, self.weights).decode(values)


class PartlyFloat(Int8Linear):
    """Some products stay float32: those whose names end so."""

    floating: tuple[str, ...] = ()

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Activation | None = None,
    ) -> str:
        """One product, in one type or the other."""
        if name.endswith(self.floating):
            return self.float.project(rows, name, residual=residual, activation=activation)
        return super().project(rows, name, residual=residual, activation=activation)


class FloatAttentionOutput(PartlyFloat):
    """The product after attention stays float32."""

    floating = ("attention.output",)


class FloatAttentionInput(PartlyFloat):
    """Queries, keys and values stay float32."""

    floating = ("query", "key", "value")


class FloatFeedForwardOutput(PartlyFloat):
    """The second product of the feed-forward block stays float32."""

    floating = tuple(f"layers.{index}.output" for index in range(MOST_LAYERS))


class SmoothedGraph(BertGraph):
    """Tells `Smoothed` how large the columns of its rows are: by the gain of their norm.

    The masks' norm is left out: the word table, which serves the lookup too, stays as it is.
    """

    def _norm(self, rows: str, name: str, *, exact: bool = False) -> str:
        out = super()._norm(rows, name, exact=exact)
        if isinstance(self.linear, Smoothed) and not exact:
            size = self._size(name)
            self.linear.smoothing[out] = np.sqrt(size / size.mean() + np.float32(0.01))
        return out

    def _size(self, name: str) -> Float32:
        return np.abs(self.weights[f"{name}.weight"])


class SmoothedByMagnitude(SmoothedGraph):
    """The same by how far the columns really go."""

    @cached_property
    def _magnitudes(self) -> dict[str, Float32]:
        return column_magnitudes(self.spec, self.weights)

    def _size(self, name: str) -> Float32:
        return self._magnitudes[name]


class Smoothed(Int8Linear):
    """Columns of a norm's output are divided by their size, weights multiplied (SmoothQuant).

    The residual reads the norm's output too, so the division cannot hide in the norm's gain.
    """

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        super().__init__(graph, weights)
        self.smoothing: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = {}

    def rows(self, values: str) -> Rows:
        """Divide, then quantise."""
        if values not in self.smoothing:
            return super().rows(values)
        size = self.smoothing[values]
        inverse = self.graph.weight(f"smoothing/{values}", 1 / size)
        rows = super().rows(self.graph.node("Mul", values, inverse))
        self.smoothing[rows.quantised] = size
        return Rows(values, rows.quantised, rows.scale)

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick rows, which stay divided."""
        picked = super().gather(rows, index)
        if rows.quantised in self.smoothing:
            self.smoothing[picked.quantised] = self.smoothing[rows.quantised]
        return picked

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Activation | None = None,
    ) -> str:
        """One product with the weight's columns multiplied."""
        size = self.smoothing.get(rows.quantised)
        self._size = np.ones(1, np.float32) if size is None else size
        return super().project(rows, name, residual=residual, activation=activation)

    def _columns(self, name: str) -> tuple[str, str]:
        quantised = quantise_rows(self.weights[f"{name}.weight"] * self._size)
        weight = self.graph.weight(f"{name}.int8", np.ascontiguousarray(quantised.values.T))
        return weight, self.graph.weight(f"{name}.scale", quantised.scale)
