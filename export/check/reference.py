"""An encoder and its heads in plain NumPy: the specification that every graph is checked against.

What each family computes is in its `Architecture`, of what is in `layers`; a test pins BERT to
transformers. Letters: n tokens of a text, H hidden, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from export.architectures.registry import architecture_of
from export.check.layers import Linear, NumpyEncoder, Text, activation, linear, log_softmax
from export.read.config import EncoderConfig
from export.read.weights import DECODER_BIAS, Float32, Weights, decoder_table
from models.heads import MLM, POOLER, Head
from models.pooling import (
    DENSE,
    LAYER_NORM,
    LAYER_NORM_EPS,
    SMALLEST_NORM,
    PoolingModule,
    module_name,
)


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
    layers = range(config.num_hidden_layers)
    for index in tqdm(layers, desc="layers of the reference", disable=None, leave=False):
        before, rows = rows, architecture.reference_block(encoder, index, rows)
    return [
        Encoded(last, previous)
        for last, previous in zip(np.split(rows, ends), np.split(before, ends), strict=True)
    ]


def masked_language_model(weights: Weights, config: EncoderConfig, rows: Float32) -> Float32:
    """Log-probabilities of the vocabulary at each row. (n, H) -> (n, V)."""
    return log_softmax(vocabulary_logits(weights, config, rows))


def vocabulary_logits(weights: Weights, config: EncoderConfig, rows: Float32) -> Float32:
    """The same before they are normalised. (n, H) -> (n, V)."""
    rows = head_layer(weights, config, MLM, rows)
    logits: Float32 = rows @ weights[decoder_table(weights)].T + weights[DECODER_BIAS]
    return logits


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


def sentence_vectors(weights: Weights, modules: Sequence[PoolingModule], rows: Float32) -> Float32:
    """Pooled rows through the modules behind the pooling. (n, in) -> (n, D)."""
    for number, module in enumerate(modules):
        rows = _through(weights, module, module_name(number), rows)
    return rows


def _through(weights: Weights, module: PoolingModule, name: str, rows: Float32) -> Float32:
    """One module. (n, in) -> (n, width)."""
    if module.kind == DENSE:
        product: Float32 = rows @ weights[f"{name}.weight"].T
        if module.bias:
            product = product + weights[f"{name}.bias"]
        return _of_dense(module.activation, product)
    if module.kind == LAYER_NORM:
        variance = rows.var(axis=-1, keepdims=True) + np.float32(LAYER_NORM_EPS)
        unit: Float32 = (rows - rows.mean(axis=-1, keepdims=True)) / np.sqrt(variance)
        return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    scaled: Float32 = rows / np.maximum(length, np.float32(SMALLEST_NORM))
    return scaled


def _of_dense(name: str, rows: Float32) -> Float32:
    """The non-linearity of a dense module."""
    match name:
        case "identity":
            return rows
        case "tanh":
            curve: Float32 = np.tanh(rows)
            return curve
        case "sigmoid":
            return _sigmoid(rows)
        case "silu":
            return rows * _sigmoid(rows)
        case _:
            return activation(name, rows)


def _sigmoid(rows: Float32) -> Float32:
    """By way of the hyperbolic tangent, which does not overflow."""
    half = np.float32(0.5)
    curve: Float32 = np.tanh(rows * half)
    return half + half * curve
