"""Weights and their architecture in, the ONNX graph of packed and read rows out.

Embeddings, L layers, pooling, heads. What a layer is, the architecture says; which rows it is
computed for, `packed`; in which numbers, `linear`. What reads the last rows is here, in float32:
these rows are few. Knows nothing of tokenizers or HTTP.

Each head has an index input into the read rows. A head whose index is empty computes on zero rows
and costs nothing, so one run serves all tasks mixed. A head that is one product needs no code here:
its declaration in `models.heads` says what it reads.

Letters: T tokens, R read rows, P sentence vectors, K rows of one, N rows of a head, H hidden,
V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from export.architectures.registry import architecture_of
from export.graph.builder import GraphBuilder
from export.graph.linear import Linear
from export.graph.packed import GraphSpec, PackedEncoder
from export.graph.places import FLOAT, INT64
from export.graph.sentence import add_modules
from models.heads import MAXIMA, MLM, POOLER, Head, Reads, heads_named, products_of


def build_encoder(graph: GraphBuilder, spec: GraphSpec, linear: Linear) -> None:
    """Add an encoder and its heads to an empty graph."""
    architecture = architecture_of(spec.config)
    encoder = PackedEncoder(graph, spec.config, linear)
    rows = architecture.embeddings(encoder)
    depth = spec.config.num_hidden_layers
    tapped = {}
    for index in tqdm(range(depth), desc="layers", disable=None, leave=False):
        rows = architecture.block(encoder, index, rows)
        tapped[index - depth] = rows
    _add_heads(encoder, spec, rows, [tapped[layer] for layer in spec.layers])


def _add_heads(
    encoder: PackedEncoder, spec: GraphSpec, read_rows: str, tapped: Sequence[str]
) -> None:
    """Pooling, then every head that the checkpoint has; `tapped` are rows of `spec.layers`."""
    for head in heads_named(spec.heads):
        if head.is_product and head.reads not in {Reads.POOLED, Reads.TOKENS}:
            raise ValueError(f"{head.name} is a product of {head.reads.value}, which none gets")
    rows = encoder.linear.widen(read_rows)
    _pooling(encoder, spec, rows, tapped)
    if MLM.name in spec.heads:
        _masked_language_model(encoder, rows)
        if spec.sparse:
            _vocabulary_maxima(encoder, rows)
    if POOLER.name in spec.heads:
        _products(encoder, spec, Reads.POOLED, _pooler(encoder, rows), "pooler_rows")
    index = encoder.graph.input("token_index", INT64, ["token_rows"])
    token_rows = encoder.graph.node("Gather", rows, index, axis=0)
    _publish(encoder, token_rows, "token_vectors", "token_rows")
    _products(encoder, spec, Reads.TOKENS, token_rows, "token_rows")


def _products(encoder: PackedEncoder, spec: GraphSpec, reads: Reads, rows: str, count: str) -> None:
    """The heads that are one product of these rows: float32 (N, H) -> (N, width) each."""
    for head in products_of(spec.heads, reads):
        with encoder.graph.scope(head.name):
            labels = len(spec.config.labels)
            width = head.numbers(hidden=spec.config.hidden_size, labels=labels)
            logits = encoder.linear.exact(_head_layer(encoder, head, rows), head.name)
            encoder.graph.output(logits, head.output, FLOAT, [count, width])


def _pooling(
    encoder: PackedEncoder, spec: GraphSpec, read_rows: str, tapped: Sequence[str]
) -> None:
    """Pooled rows: weighted sums (means, [CLS], the last token) and maxima over each text's rows.

    `pool_index` (P, K) names each text's rows, first those of the last layer, then those of the
    tapped layers; short lists repeat a row of their own text with weight zero. Where the model has
    modules behind its pooling, these make sentence vectors of them.
    """
    graph = encoder.graph
    with graph.scope("pooling"):
        source = read_rows
        if tapped:
            taps = [
                graph.node("Gather", rows, graph.input(name, INT64, [f"{name}_rows"]), axis=0)
                for rows, name in zip(tapped, spec.tap_inputs, strict=True)
            ]
            taps = [encoder.linear.widen(rows) for rows in taps]
            source = graph.node("Concat", read_rows, *taps, axis=0)
        index = graph.input("pool_index", INT64, ["pooled", "pool_rows"])
        weights = graph.input("pool_weights", FLOAT, ["pooled", 1, "pool_rows"])
        rows = graph.node("Gather", source, index, axis=0)
        summed = graph.node("MatMul", weights, rows)  # (P, 1, K) @ (P, K, H)
        axis = graph.constant(np.array([1], np.int64))
        sums = graph.node("Squeeze", summed, axis)
        _publish(encoder, sums, "pooled", "pooled")
        index = graph.input("max_index", INT64, ["maxima", "max_rows"])
        rows = graph.node("Gather", source, index, axis=0)
        maxima = graph.node("ReduceMax", rows, axis, keepdims=0)
        _publish(encoder, maxima, "pooled_max", "maxima")
        if spec.modules:
            add_modules(encoder, spec, sums, maxima)


def _pooler(encoder: PackedEncoder, read_rows: str) -> str:
    """The pooler's layer on the [CLS] rows, or on the means of texts: float32 (N, H)."""
    graph = encoder.graph
    with graph.scope(POOLER.name):
        if encoder.config.classifier_pooling == "mean":
            index = graph.input("pooler_index", INT64, ["pooler_rows", "pooler_columns"])
            weights = graph.input("pooler_weights", FLOAT, ["pooler_rows", 1, "pooler_columns"])
            summed = graph.node("MatMul", weights, graph.node("Gather", read_rows, index, axis=0))
            rows = graph.node("Squeeze", summed, graph.constant(np.array([1], np.int64)))
        else:
            index = graph.input("pooler_index", INT64, ["pooler_rows"])
            rows = graph.node("Gather", read_rows, index, axis=0)
        return _head_layer(encoder, POOLER, rows)


def _head_layer(encoder: PackedEncoder, head: Head, rows: str) -> str:
    """The dense layer before a head's product, where it has one: float32 (N, H) -> (N, E or H)."""
    layer = architecture_of(encoder.config).head_layers(encoder.config).get(head.name)
    if layer is None:
        return rows
    rows = encoder.activation(encoder.linear.exact(rows, head.layer), layer.activation)
    return encoder.norm(rows, head.norm, exact=True) if layer.norm else rows


def _masked_language_model(encoder: PackedEncoder, read_rows: str) -> None:
    """Log-probabilities at mask rows: the k best of the vocabulary, and requested targets."""
    graph = encoder.graph
    mlm_index = graph.input("mlm_index", INT64, ["masks"])
    top_k = graph.input("top_k", INT64, [1])
    targets = graph.input("targets", INT64, ["targets", 2])
    with graph.scope(MLM.name):
        rows = graph.node("Gather", read_rows, mlm_index, axis=0)
        logits = encoder.linear.decode(_head_layer(encoder, MLM, rows))
        log_probabilities = graph.node("LogSoftmax", logits, axis=-1)
        values, ids = graph.nodes("TopK", log_probabilities, top_k, outputs=2, axis=-1)
        wanted = graph.node("GatherND", log_probabilities, targets)
    graph.output(values, "mlm_log_probabilities", FLOAT, ["masks", "k"])
    graph.output(ids, "mlm_ids", INT64, ["masks", "k"])
    graph.output(wanted, "target_log_probabilities", FLOAT, ["targets"])


def _vocabulary_maxima(encoder: PackedEncoder, read_rows: str) -> None:
    """The largest logit of each word among groups of rows, for sparse vectors: float32 (G, V).

    `sparse_index` (G, K) names each group's rows; short groups repeat one of their own.
    """
    graph, hidden = encoder.graph, encoder.config.hidden_size
    index = graph.input("sparse_index", INT64, ["groups", "group_rows"])
    with graph.scope("maxima"):
        rows = graph.node("Gather", read_rows, index, axis=0)  # (G, K, H)
        flat = graph.constant(np.array([-1, hidden], np.int64))
        rows = graph.node("Reshape", rows, flat)
        logits = encoder.linear.decode(_head_layer(encoder, MLM, rows))  # (G · K, V)
        words = graph.constant(np.array([encoder.config.vocab_size], np.int64))
        shape = graph.node("Concat", graph.node("Shape", index), words, axis=0)
        logits = graph.node("Reshape", logits, shape)
        axis = graph.constant(np.array([1], np.int64))
        maxima = graph.node("ReduceMax", logits, axis, keepdims=0)
    graph.output(maxima, MAXIMA, FLOAT, ["groups", encoder.config.vocab_size])


def _publish(encoder: PackedEncoder, rows: str, name: str, count: str) -> None:
    encoder.graph.output(rows, name, FLOAT, [count, encoder.config.hidden_size])
