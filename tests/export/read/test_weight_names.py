"""The name map, name by name; whole checkpoints are in test_checkpoint.py."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.architectures.bert import BERT
from export.architectures.registry import canonical_shapes
from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.weight_names import canonical_name, map_names

CONFIG = EncoderConfig(67, 12, 2, 2, 20, 29, 2, "gelu")


class ArraySource:
    """A `TensorSource` over arrays in memory."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self.shapes = {key: array.shape for key, array in arrays.items()}

    def read(self, key: str) -> NDArray[Any]:
        return self.arrays[key]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("bert.embeddings.word_embeddings.weight", "embeddings.word"),
        ("embeddings.token_type_embeddings.weight", "embeddings.token_type"),
        ("bert.embeddings.LayerNorm.gamma", "embeddings.norm.weight"),
        ("bert.encoder.layer.11.attention.self.key.bias", "layers.11.attention.key.bias"),
        ("encoder.layer.0.attention.output.LayerNorm.beta", "layers.0.attention.norm.bias"),
        ("encoder.layer.0.output.LayerNorm.weight", "layers.0.output.norm.weight"),
        ("cls.predictions.bias", "mlm.decoder.bias"),
        ("cls.predictions.decoder.bias", "mlm.decoder.bias"),
        ("cls.predictions.transform.LayerNorm.gamma", "mlm.norm.weight"),
        ("cls.seq_relationship.weight", "nsp.weight"),
        ("qa_outputs.bias", "qa.bias"),
        ("classifier.weight", "token.weight"),
    ],
)
def test_key_has_its_canonical_name(key: str, name: str) -> None:
    assert canonical_name(key, BERT.weight_names, {"token"}) == name


@pytest.mark.parametrize(
    "key",
    [
        "bert.encoder.layer.0.crossattention.self.query.weight",
        "bert.encoder.layer.x.output.dense.weight",
        "bert.encoder.layer.0.output.dense",
        "roberta.embeddings.word_embeddings.weight",
        "pooler.dense.gamma",
        "",
    ],
)
def test_key_that_bert_does_not_have_has_no_name(key: str) -> None:
    assert canonical_name(key, BERT.weight_names) is None


def test_classifier_without_a_meaning_has_no_name() -> None:
    assert canonical_name("classifier.weight", BERT.weight_names) is None


def test_encoder_alone_has_no_heads() -> None:
    torch_names = {
        "embeddings.word": "embeddings.word_embeddings.weight",
        "embeddings.position": "embeddings.position_embeddings.weight",
        "embeddings.token_type": "embeddings.token_type_embeddings.weight",
    }
    for name in canonical_shapes(CONFIG, (), labels=0):
        torch_names.setdefault(name, to_torch(name))
    arrays = {
        torch_names[name]: np.ones(shape, np.float32)
        for name, shape in canonical_shapes(CONFIG, (), labels=0).items()
    }
    found = map_names(ArraySource(arrays), CONFIG, declared=(), tied=True)
    assert found.heads == ()
    assert dict(found.names) == torch_names
    assert len(set(found.names.values())) == len(arrays)


def to_torch(name: str) -> str:
    return (
        (
            name.replace("layers.", "encoder.layer.")
            .replace("embeddings.norm", "embeddings.LayerNorm")
            .replace("attention.norm", "attention.output.LayerNorm")
            .replace("output.norm", "output.LayerNorm")
            .replace("attention.output.weight", "attention.output.dense.weight")
            .replace("attention.output.bias", "attention.output.dense.bias")
            .replace("attention.query", "attention.self.query")
            .replace("attention.key", "attention.self.key")
            .replace("attention.value", "attention.self.value")
            .replace("intermediate.", "intermediate.dense.")
        )
        .replace(".output.weight", ".output.dense.weight")
        .replace(".output.bias", ".output.dense.bias")
    )


def test_many_unknown_keys_are_cut_short_in_the_message() -> None:
    source = ArraySource({f"other.{index}": np.ones(1) for index in range(9)})
    with pytest.raises(ExportError, match=r"other\.0, other\.1, other\.2 and 6 more"):
        map_names(source, CONFIG, declared=(), tied=True)
