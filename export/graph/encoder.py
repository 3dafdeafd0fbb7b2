"""Weights and their architecture in, the ONNX graph of packed and read rows out.

Embeddings, L layers, heads. What a layer is, the architecture says; which rows it is computed for,
`packed`; what is read of the last rows, `heads`; in which numbers, `linear`. Knows nothing of
tokenizers or HTTP.
"""

from export.architectures.registry import architecture_of
from export.graph.builder import GraphBuilder
from export.graph.heads import add_heads
from export.graph.linear import Linear
from export.graph.packed import GraphSpec, PackedEncoder
from export.read.weights import Weights


def build_encoder(graph: GraphBuilder, spec: GraphSpec, weights: Weights, linear: Linear) -> None:
    """Add an encoder and its heads to an empty graph."""
    architecture = architecture_of(spec.config)
    encoder = PackedEncoder(graph, spec.config, weights, linear)
    rows = architecture.embeddings(encoder)
    depth = spec.config.num_hidden_layers
    tapped = {}
    for index in range(depth):
        rows = architecture.block(encoder, index, rows)
        tapped[index - depth] = rows
    add_heads(encoder, spec, rows, [tapped[layer] for layer in spec.layers])
