"""Pooled rows in, the sentence vectors of a model with modules behind its pooling out.

All of it is float32 in every precision: these rows are few. Letters: P sums, M maxima, S sentence
vectors, N pooled rows that are laid end to end for one, H hidden, D numbers of a vector.
"""

import numpy as np

from export.graph.packed import GraphSpec, PackedEncoder
from export.graph.places import FLOAT, INT64
from models.pooling import (
    DENSE,
    LAYER_NORM,
    LAYER_NORM_EPS,
    SENTENCE_VECTORS,
    SMALLEST_NORM,
    PoolingModule,
    module_name,
)

_NODES = {"tanh": "Tanh", "relu": "Relu", "gelu": "Gelu", "sigmoid": "Sigmoid"}


def add_modules(encoder: PackedEncoder, spec: GraphSpec, sums: str, maxima: str) -> None:
    """Publish `sentence_vectors`, (S, D), made of sums (P, H) and maxima (M, H).

    `sentence_index` (S, N) names the rows of each vector, the sums before the maxima.
    """
    graph = encoder.graph
    pooled = graph.node("Concat", sums, maxima, axis=0)
    index = graph.input("sentence_index", INT64, ["sentences", "poolings"])
    rows = graph.node("Gather", pooled, index, axis=0)  # (S, N, H)
    width = spec.poolings * encoder.config.hidden_size
    flat = graph.constant(np.array([0, width], np.int64))  # 0: as many as there are, none too
    rows = graph.node("Reshape", rows, flat)
    for number, module in enumerate(spec.modules):
        rows = _module(encoder, module, module_name(number), rows)
    graph.output(rows, SENTENCE_VECTORS, FLOAT, ["sentences", spec.modules[-1].width])


def _module(encoder: PackedEncoder, module: PoolingModule, name: str, rows: str) -> str:
    """One module: (S, in) -> (S, width)."""
    graph, linear = encoder.graph, encoder.linear
    if module.kind == DENSE:
        return _activated(encoder, module.activation, linear.exact(rows, name))
    if module.kind == LAYER_NORM:
        scale, bias = (linear.exact_weight(f"{name}.{part}") for part in ("weight", "bias"))
        return graph.node("LayerNormalization", rows, scale, bias, axis=-1, epsilon=LAYER_NORM_EPS)
    axis = graph.constant(np.array([1], np.int64))
    length = graph.node("ReduceL2", rows, axis, keepdims=1)
    least = graph.constant(np.array(SMALLEST_NORM, np.float32))
    return graph.node("Div", rows, graph.node("Max", length, least))


def _activated(encoder: PackedEncoder, activation: str, rows: str) -> str:
    if activation == "identity":
        return rows
    if activation == "silu":
        return encoder.graph.node("Mul", rows, encoder.graph.node("Sigmoid", rows))
    return encoder.graph.node(_NODES[activation], rows)
