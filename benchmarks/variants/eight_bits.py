"""Other forms of int8: where the scales come from, how rows are quantised, what stays in float."""

from collections.abc import Callable

import numpy as np

from export.graph.builder import GraphBuilder
from export.graph.linear import Rows
from export.graph.quantize import HIGHEST, LEVELS, ZERO_POINT, Int8Linear, quantise_rows
from export.read.weights import Weights

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

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:  # noqa: ARG002
        """Bring far columns near, nothing else."""
        return Rows(values, self._near(values, name))

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick rows in both forms."""
        values, near = (
            self.graph.node("Gather", form, index, axis=0) for form in (rows.values, rows.quantised)
        )
        return Rows(values, near)

    def decode(self, values: str) -> str:
        """The vocabulary product with a scale for each row."""
        return Int8Linear(self.graph, self.weights).decode(values)


class ScaleOfTensor(Unprepared):
    """One scale for all rows of a batch: an answer depends on its company."""

    def _product(self, rows: Rows, name: str) -> str:
        weight, scale = self._columns(name)
        product = self.graph.contrib("DynamicQuantizeMatMul", rows.quantised, weight, scale)
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
        product = self.graph.contrib("MatMulNBits", rows.quantised, weight, scale, **shape)
        return self._biased(product, f"{name}.bias")


class ScaleByMultiplication(Int8Linear):
    """Rows multiplied by the reciprocal of their magnitude, then quantised by one constant."""

    def _quantised(self, values: str, near: str, peak: str, zero_point: int) -> Rows:
        graph = self.graph
        levels = graph.constant(np.float32(1 / (HIGHEST - zero_point)).reshape(()))
        zero = graph.constant(np.uint8(zero_point).reshape(()))
        unit = graph.node("Mul", near, graph.node("Reciprocal", peak))
        quantised = graph.node("QuantizeLinear", unit, levels, zero)
        return Rows(values, quantised, graph.node("Mul", peak, levels), zero)


class MagnitudeOfBothEnds(Int8Linear):
    """The row's magnitude from its maximum and its minimum, without writing |x|."""

    def _peak(self, values: str) -> str:
        graph = self.graph
        most = graph.node("ReduceMax", values, self._axis, keepdims=1)
        least = graph.node("ReduceMin", values, self._axis, keepdims=1)
        return graph.node("Max", most, graph.node("Neg", least))


class SignedActivations(Int8Linear):
    """int8 activations around 0."""

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        super().__init__(graph, weights)
        self._levels = graph.constant(np.float32(1 / LEVELS).reshape(()))
        self._signed_zero = graph.constant(np.int8(0).reshape(()))

    def _quantised(self, values: str, near: str, peak: str, zero_point: int) -> Rows:  # noqa: ARG002
        graph = self.graph
        unit = graph.node("Mul", near, graph.node("Reciprocal", peak))
        signed = graph.node("QuantizeLinear", unit, self._levels, self._signed_zero)
        return Rows(values, signed, graph.node("Mul", peak, self._levels), self._signed_zero)

    def decode(self, values: str) -> str:
        """The vocabulary product as it is."""
        return Int8Linear(self.graph, self.weights).decode(values)


class SameForAll(Int8Linear):
    """An activation's rows as all others: as many levels below zero as above."""

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:  # noqa: ARG002
        """Quantise each row by its own largest magnitude."""
        return super().rows(values, name)


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
            rows = self._float_rows(rows, name)
            return self.float.project(rows, name, residual=residual, activation=activation)
        return super().project(rows, name, residual=residual, activation=activation)

    def _float_rows(self, rows: Rows, name: str) -> Rows:  # noqa: ARG002
        return rows


class FloatAttentionOutput(PartlyFloat):
    """The product after attention stays float32."""

    floating = ("attention.output",)


class FloatAttentionInput(PartlyFloat):
    """Queries, keys and values stay float32."""

    floating = ("query", "key", "value")

    def _float_rows(self, rows: Rows, name: str) -> Rows:
        return Rows(self._near(rows.values, name.rpartition(".")[0]))


class FloatFeedForwardOutput(PartlyFloat):
    """The second product of the feed-forward block stays float32."""

    floating = tuple(f"layers.{index}.output" for index in range(MOST_LAYERS))
