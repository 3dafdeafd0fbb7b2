"""A BERT's weights in, how far each column of each norm's rows goes out, on texts of random tokens.

The columns that are large are so in every text, so random ones find them and no text is needed.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnx import TensorProto

from export import parity
from export.builder import GraphBuilder
from export.graph import BertGraph, GraphSpec
from export.linear import FloatLinear
from export.reference import Float32, Text
from export.weights import Weights

TEXTS, TOKENS = 32, 24
PREFIX = "norm_rows/"


class ShownNorms(BertGraph):
    """Every norm's rows are an output too."""

    def _norm(self, rows: str, name: str, *, exact: bool = False) -> str:
        out = super()._norm(rows, name, exact=exact)
        shape: list[str | int] = [f"{name}_rows", self.config.hidden_size]
        self.graph.output(out, PREFIX + name, TensorProto.FLOAT, shape)
        return out


def column_magnitudes(spec: GraphSpec, weights: Weights) -> dict[str, Float32]:
    """The largest magnitude of each column, float32 (H,), by the name of the norm."""
    rng = np.random.default_rng(parity.SEED)
    tokens = min(TOKENS, spec.config.max_position_embeddings)
    ids = rng.integers(0, spec.config.vocab_size, (TEXTS, tokens))
    texts = [Text(row, np.zeros(tokens, np.int64)) for row in ids]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with GraphBuilder(folder) as graph:
            ShownNorms(graph, spec, weights, FloatLinear(graph, weights)).build()
            graph.write()
        session = parity.open_graph(folder)
        names = [out.name for out in session.get_outputs() if out.name.startswith(PREFIX)]
        wanted = {given.name for given in session.get_inputs()}
        feeds = parity.packed_feeds(spec, texts, [range(tokens)] * TEXTS)
        found = session.run(names, {name: feeds[name] for name in feeds if name in wanted})
    rows = zip(names, found, strict=True)
    return {name.removeprefix(PREFIX): np.abs(values).max(axis=0) for name, values in rows}
