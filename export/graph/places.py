"""Where tokens stand, in graph nodes: the inputs that say so, and what encoders make of them.

Positions, distances, windows and turns need no input that packing does not have anyway. Knows
nothing of weights.

Letters: T tokens, B texts, S longest text, R read rows, Q most read rows of a text, H hidden,
A attention heads, D = H / A.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.graph.builder import GraphBuilder

INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
_FIRST, _LAST = np.array([0], np.int64), np.array([-1], np.int64)

# Inputs that say where packed rows lie in a rectangle of texts, and their shapes.
PACKING: Mapping[str, Sequence[str]] = {
    "pad_index": ["batch", "sequence"],
    "unpad_index": ["tokens"],
    "lengths": ["batch"],
    "read_index": ["reads"],
    "read_pad_index": ["batch", "queries"],
    "read_unpad_index": ["reads"],
}


class Turned(Protocol):
    """Turns queries or keys by their positions."""

    def __call__(self, rows: str, *, read: bool) -> str:
        """(T, H) -> (T, H), or (R, H) -> (R, H) where only `read` rows are there."""


class Scores(Protocol):
    """Gives what is added to the scores of attention."""

    def __call__(self, query: str, key: str, *, read: bool) -> str:
        """(B, Q, H) and (B, S, H) -> what is added, or true where scores count.

        The result is (1 or B, 1 or A, Q, S). Where only `read` rows have queries, Q counts them.
        """


class Places:
    """The inputs of packed texts, and nodes over them; each is made once, when first asked for."""

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph
        self.packing = {name: graph.input(name, INT64, shape) for name, shape in PACKING.items()}
        """The inputs of packing."""
        self._made: dict[str, str] = {}

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A value that several layers use, called `name` among those made so."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def token_input(self, name: str) -> str:
        """A graph input with a number for each packed token: int64 (T,)."""
        return self.once(name, lambda: self.graph.input(name, INT64, ["tokens"]))

    def positions(self, *, read: bool = False) -> str:
        """Where in its text each token, or each read row, stands, from 0: int64 (T,) or (R,)."""
        every = self.token_input("position_ids")
        if not read:
            return every
        index = self.packing["read_index"]
        return self.once("read positions", lambda: self.graph.node("Gather", every, index))

    def positions_behind(self, padding: int) -> str:
        """The number `padding` and how many tokens of the text there are so far: int64 (T,).

        A text may spell the padding token: that one gets `padding` for its position, and the others
        are counted without it.
        """
        graph, packing = self.graph, self.packing
        first = graph.constant(np.array(padding, np.int64))
        is_padding = graph.node("Equal", self.token_input("input_ids"), first)
        counted = graph.node("Cast", graph.node("Not", is_padding), to=INT64)
        by_text = graph.node("Gather", counted, packing["pad_index"])  # (B, S)
        so_far = graph.node("CumSum", by_text, graph.constant(np.array(1, np.int64)))
        flat = graph.node("Reshape", so_far, graph.constant(_LAST))
        packed = graph.node("Gather", flat, packing["unpad_index"])
        return graph.node("Add", graph.node("Mul", packed, counted), first)

    def distances(self, *, read: bool) -> str:
        """How far behind its query each key stands: int64 (1, S, S), or (B, Q, S) of read rows."""
        return self.once(f"distances {read}", lambda: self._distances(read=read))

    def pick(self, values: str, index: str) -> str:
        """Of each row's W values the M at its indices, for every head.

        (B, A, N, W) and int64 (1 or B, N, M) -> (B, A, N, M).
        """
        graph = self.graph
        heads = graph.node("Shape", values, start=0, end=2)
        shape = graph.node("Concat", heads, graph.constant(np.array([1, 1], np.int64)), axis=0)
        by_head = graph.node("Unsqueeze", index, graph.constant(np.array([1], np.int64)))
        return graph.node("GatherElements", values, graph.node("Expand", by_head, shape), axis=-1)

    def within(self, farthest: int) -> Scores:
        """Only keys that stand at most so far from their query count: bool (1 or B, 1, Q, S)."""

        def scores(query: str, key: str, *, read: bool) -> str:  # noqa: ARG001
            return self.once(f"within {farthest} {read}", lambda: self._within(farthest, read=read))

        return scores

    def angles(self, frequencies: NDArray[np.float32], *, read: bool) -> tuple[str, str]:
        """Cosine and sine of position times frequency: float32 (1, T or R, frequencies) each."""

        def turn(function: str) -> str:
            graph = self.graph
            place = graph.node("Cast", self.positions(read=read), to=FLOAT)
            place = graph.node("Unsqueeze", place, graph.constant(_LAST))  # (T, 1)
            angle = graph.node("Mul", place, graph.constant(frequencies[None]))
            return graph.node("Unsqueeze", graph.node(function, angle), graph.constant(_FIRST))

        label = f"{frequencies.tobytes().hex()} {read}"
        return (
            self.once(f"cosine {label}", lambda: turn("Cos")),
            self.once(f"sine {label}", lambda: turn("Sin")),
        )

    def _distances(self, *, read: bool) -> str:
        graph = self.graph
        zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
        length = graph.node("Gather", graph.node("Shape", self.packing["pad_index"]), one)
        columns = graph.node("Range", zero, length, one)  # (S,)
        rows = graph.node("Unsqueeze", columns, graph.constant(_FIRST))  # (1, S)
        if read:
            rows = graph.node("Gather", self.positions(read=True), self.packing["read_pad_index"])
        return graph.node("Sub", columns, graph.node("Unsqueeze", rows, graph.constant(_LAST)))

    def _within(self, farthest: int, *, read: bool) -> str:
        graph = self.graph
        far = graph.node("Abs", self.distances(read=read))
        near = graph.node("LessOrEqual", far, graph.constant(np.array(farthest, np.int64)))
        return graph.node("Unsqueeze", near, graph.constant(np.array([1], np.int64)))
