"""An `EncoderConfig` and heads in, the canonical weights and their shapes out.

This is the one list of what an encoder consists of: a checkpoint's weights are checked against it
and the parameter count adds it up. Letters: V vocabulary, H hidden.
"""

from collections.abc import Collection

from export.architectures.registry import architecture_of
from export.read.config import EncoderConfig
from export.read.weights import UNTIED_DECODER
from models.heads import MLM, Shapes, heads_named


def canonical_shapes(
    config: EncoderConfig, heads: Collection[str], *, labels: int, tied: bool = True
) -> Shapes:
    """The shape of every weight of an encoder with these heads, by canonical name.

    `labels` counts the rows of heads with one row a label. A decoder that is `tied` is the word
    embeddings themselves and has no weight of its own.
    """
    architecture = architecture_of(config)
    V, H = config.vocab_size, config.hidden_size
    shapes = architecture.embedding_shapes(config)
    for index in range(config.num_hidden_layers):
        shapes |= architecture.layer_shapes(config, f"layers.{index}")
    for head in heads_named(heads):
        shapes |= head.shapes(vocabulary=V, hidden=H, labels=labels)
    if MLM.name in heads and not tied:
        shapes[UNTIED_DECODER] = (V, H)
    return shapes
