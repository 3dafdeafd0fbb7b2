"""How a linear layer becomes graph nodes: in float32 here, float16 in `half`, int8 in `quantize`.

The packed encoder asks a `Linear` for every table lookup and matrix product and does not know which
precision it gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from export.graph.builder import GraphBuilder
from export.read.weights import Weights, decoder_table


@dataclass(frozen=True)
class Rows:
    """Rows prepared for products: their values and, in int8, `(quantised - zero) * step`."""

    values: str
    quantised: str = ""
    step: str = ""
    zero: str = ""


class Linear(Protocol):
    """Lookups and products of one precision. Weights are named as in the canonical checkpoint.

    Rows of the encoder are float16 in float16 and float32 otherwise; what heads get is float32.
    """

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:
        """Prepare (rows, in) for the products of the named part, such as `layers.0.attention`.

        No value is below `least`, where it is known.
        """

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick prepared rows."""

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Callable[[str], str] | None = None,
    ) -> str:
        """The named layer: product, bias if any, then residual or activation: (rows, out)."""

    def exact(self, values: str, name: str) -> str:
        """A product kept in float32 in every precision: the small heads."""

    def lookup(self, name: str, index: str) -> str:
        """Rows of an embedding table: (tokens, H)."""

    def decode(self, values: str) -> str:
        """The vocabulary product, tied or separate: float32 (masks, H) -> (masks, V)."""

    def widen(self, values: str) -> str:
        """Rows of the encoder as float32, for heads and outputs."""

    def weight(self, name: str) -> str:
        """A vector of the encoder in the type of its rows: what a norm multiplies by or adds."""


class FloatLinear:
    """float32 products: Gemm with the weight as stored, (out, in)."""

    def __init__(self, graph: GraphBuilder, weights: Weights) -> None:
        self.graph = graph
        self.weights = weights

    def rows(self, values: str, name: str = "", *, least: float | None = None) -> Rows:  # noqa: ARG002
        """Nothing to prepare."""
        return Rows(values)

    def gather(self, rows: Rows, index: str) -> Rows:
        """Pick rows."""
        return Rows(self.graph.node("Gather", rows.values, index, axis=0))

    def project(
        self,
        rows: Rows,
        name: str,
        *,
        residual: str | None = None,
        activation: Callable[[str], str] | None = None,
    ) -> str:
        """One Gemm."""
        bias = [self.weight(f"{name}.bias")] if f"{name}.bias" in self.weights else []
        out = self.graph.node("Gemm", rows.values, self.weight(f"{name}.weight"), *bias, transB=1)
        if residual is not None:
            out = self.graph.node("Add", out, residual)
        return activation(out) if activation is not None else out

    def exact(self, values: str, name: str) -> str:
        """The same as any product here."""
        return self.project(Rows(values), name)

    def lookup(self, name: str, index: str) -> str:
        """A Gather."""
        return self.graph.node("Gather", self.weight(name), index, axis=0)

    def decode(self, values: str) -> str:
        """A Gemm with the word table when tied."""
        weight = self.weight(decoder_table(self.weights))
        return self.graph.node("Gemm", values, weight, self.weight("mlm.decoder.bias"), transB=1)

    def widen(self, values: str) -> str:
        """Nothing to widen."""
        return values

    def weight(self, name: str) -> str:
        """The checkpoint's tensor as it is."""
        return self.graph.weight(name, self.weights[name])
