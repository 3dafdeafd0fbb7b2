"""An encoder and its heads in plain NumPy: the specification that every graph is checked against.

What each family computes is in its `Architecture`, of what is in `layers`; a test pins BERT to
transformers. Letters: n tokens of a text, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.architectures.registry import architecture_of
from export.check.layers import Linear, NumpyEncoder, Text, linear, log_softmax
from export.read.config import EncoderConfig
from export.read.weights import DECODER_BIAS, Float32, Weights, decoder_table
from models.heads import MLM, POOLER, Head


@dataclass(frozen=True)
class Encoded:
    """The rows of one text after the last layer, and after the one before it."""

    last: Float32
    """(n, H)"""
    second_to_last: Float32
    """(n, H); the embeddings where the encoder has one layer."""


def encode(
    weights: Weights, config: EncoderConfig, texts: Sequence[Text], linear: Linear = linear
) -> list[Encoded]:
    """Embeddings, then every layer, with its products by `linear`. Each weight is read once."""
    ends = np.cumsum([len(text.ids) for text in texts])[:-1]
    architecture = architecture_of(config)
    encoder = NumpyEncoder(weights, config, ends, linear)
    before = rows = architecture.reference_embeddings(encoder, texts)
    for index in range(config.num_hidden_layers):
        before, rows = rows, architecture.reference_block(encoder, index, rows)
    return [
        Encoded(last, previous)
        for last, previous in zip(np.split(rows, ends), np.split(before, ends), strict=True)
    ]


def masked_language_model(weights: Weights, config: EncoderConfig, rows: Float32) -> Float32:
    """Log-probabilities of the vocabulary at each row. (n, H) -> (n, V)."""
    rows = head_layer(weights, config, MLM, rows)
    return log_softmax(rows @ weights[decoder_table(weights)].T + weights[DECODER_BIAS])


def pooler(weights: Weights, config: EncoderConfig, rows: Float32) -> Float32:
    """The pooler's layer on the [CLS] row of a text, or on the mean of its rows. (n, H) -> (H,)."""
    row = rows.mean(axis=0) if config.classifier_pooling == "mean" else rows[0]
    return head_layer(weights, config, POOLER, row)


def head_product(weights: Weights, config: EncoderConfig, head: Head, rows: Float32) -> Float32:
    """A head that is one product, behind its dense layer where it has one. (n, H) -> (n, width)."""
    return linear(weights, head.name, head_layer(weights, config, head, rows))


def head_layer(weights: Weights, config: EncoderConfig, head: Head, rows: Float32) -> Float32:
    """The dense layer of a head: product, activation, perhaps a norm. (..., H) -> (..., E or H)."""
    layer = architecture_of(config).head_layers(config).get(head.name)
    if layer is None:
        return rows
    encoder = NumpyEncoder(weights, config)
    rows = encoder.activation(encoder.product(head.layer, rows), layer.activation)
    return encoder.norm(head.norm, rows) if layer.norm else rows
