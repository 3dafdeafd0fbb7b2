"""Two families made up here: what a new one needs is an `Architecture` and its line in the table.

`Shifted` has no segments and positions that start at 2, as RoBERTa's do, in other names for sizes
and weights than BERT's. `PreNorm` is the same, but for norms that come before each block.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.architectures.architecture import Architecture, HeadLayer, WeightNames
from export.architectures.registry import ARCHITECTURES, canonical_shapes
from export.check.layers import NumpyEncoder, Text
from export.check.parity import TOLERANCE
from export.graph.packed import PackedEncoder
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.config import EncoderConfig, read_sizes
from export.read.documents import Fields
from export.read.weight_names import checkpoint_key
from export.read.weights import Float32
from export.restore.__main__ import restore
from export.write.model_folder import export_model
from models.heads import Shapes, norm_shapes, product_shapes
from tests.export.built_graph import build_graph, difference
from tests.export.conftest import PIECES, SIZES

FIRST = 2  # the position of a text's first token
NAMES = {"dim": "hidden_size", "n_layers": "num_hidden_layers", "n_heads": "num_attention_heads"}


class Shifted:
    """Word + position vectors, then blocks that are normalised after their residuals."""

    class_prefix = "Shifted"
    lacks: frozenset[str] = frozenset()
    more_classes: Mapping[str, frozenset[str]] = {}
    weight_names = WeightNames(
        prefix="shifted.",
        modules={"embeddings.norm": "norm_in", "mlm.transform": "lm.dense", "mlm.norm": "lm.norm"},
        layer="blocks.",
        layer_modules={
            "attention.query": "q",
            "attention.key": "k",
            "attention.value": "v",
            "attention.output": "o",
            "attention.norm": "norm1",
            "intermediate": "up",
            "output": "down",
            "output.norm": "norm2",
        },
        parameters={
            "embeddings.word": "words.weight",
            "embeddings.position": "positions.weight",
            "mlm.decoder.bias": "lm.bias",
        },
    )

    def read_config(self, fields: Fields) -> EncoderConfig:
        renamed = {NAMES.get(name, name): value for name, value in fields.values.items()}
        sizes = read_sizes(Fields(renamed, fields.file))
        return dataclasses.replace(sizes, type_vocab_size=1, segments=False)

    def config_fields(self, config: EncoderConfig) -> dict[str, Any]:
        others = ("vocab_size", "intermediate_size", "hidden_act", "max_position_embeddings")
        names = NAMES | {name: name for name in (*others, "layer_norm_eps")}
        return {name: getattr(config, field) for name, field in names.items()}

    def ignored(self, config: EncoderConfig) -> Mapping[str, str]:
        return {}

    def max_tokens(self, config: EncoderConfig) -> int:
        return config.max_position_embeddings - FIRST

    def pair_bytes(self, config: EncoderConfig) -> int | None:
        return None

    def head_layers(self, config: EncoderConfig) -> Mapping[str, HeadLayer]:
        mlm = HeadLayer(config.hidden_act, norm=True)
        return {"mlm": mlm, "pooler": HeadLayer("tanh")}

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        H = config.hidden_size
        tables: Shapes = {
            "embeddings.word": (config.vocab_size, H),
            "embeddings.position": (config.max_position_embeddings, H),
        }
        return tables | norm_shapes("embeddings.norm", H)

    def layer_shapes(self, config: EncoderConfig, layer: str) -> Shapes:
        H, I = config.hidden_size, config.intermediate_size  # noqa: E741
        shapes = norm_shapes(f"{layer}.attention.norm", H) | norm_shapes(f"{layer}.output.norm", H)
        for part in ("query", "key", "value", "output"):
            shapes |= product_shapes(f"{layer}.attention.{part}", H, H)
        shapes |= product_shapes(f"{layer}.intermediate", I, H)
        return shapes | product_shapes(f"{layer}.output", H, I)

    def embeddings(self, encoder: PackedEncoder) -> str:
        graph, linear = encoder.graph, encoder.linear
        ids = encoder.token_input("input_ids")
        first = graph.constant(np.array(FIRST, np.int64))
        positions = graph.node("Add", encoder.token_input("position_ids"), first)
        words = linear.lookup("embeddings.word", ids)
        total = graph.node("Add", words, linear.lookup("embeddings.position", positions))
        return encoder.norm(total, "embeddings.norm")

    def block(self, encoder: PackedEncoder, index: int, rows: str) -> str:
        name = f"layers.{index}"
        context, rows = encoder.attention(index, rows)
        rows = encoder.product(context, f"{name}.attention.output", residual=rows)
        rows = encoder.norm(rows, f"{name}.attention.norm")
        inner = encoder.activated_product(rows, f"{name}.intermediate")
        out = encoder.product(inner, f"{name}.output", residual=rows, activated=True)
        return encoder.norm(out, f"{name}.output.norm")

    def reference_embeddings(self, encoder: NumpyEncoder, texts: Sequence[Text]) -> Float32:
        words, positions = (
            encoder.weights["embeddings.word"],
            encoder.weights["embeddings.position"],
        )
        rows = [words[t.ids] + positions[FIRST : FIRST + len(t.ids)] for t in texts]
        return encoder.norm("embeddings.norm", np.concatenate(rows))

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        name = f"layers.{index}"
        context = encoder.attention(index, rows)
        attended = rows + encoder.product(f"{name}.attention.output", context)
        rows = encoder.norm(f"{name}.attention.norm", attended)
        inner = encoder.activation(encoder.product(f"{name}.intermediate", rows))
        return encoder.norm(f"{name}.output.norm", rows + encoder.product(f"{name}.output", inner))


class PreNorm(Shifted):
    """Rows are added up as they are, and normalised on their way into attention and products."""

    class_prefix = "PreNorm"

    def block(self, encoder: PackedEncoder, index: int, rows: str) -> str:
        name = f"layers.{index}"
        normed = encoder.norm(rows, f"{name}.attention.norm")
        context, rows = encoder.attention(index, normed, carried=rows)
        rows = encoder.product(context, f"{name}.attention.output", residual=rows)
        normed = encoder.norm(rows, f"{name}.output.norm")
        inner = encoder.activated_product(normed, f"{name}.intermediate")
        return encoder.product(inner, f"{name}.output", residual=rows, activated=True)

    def reference_block(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        name = f"layers.{index}"
        context = encoder.attention(index, encoder.norm(f"{name}.attention.norm", rows))
        rows = rows + encoder.product(f"{name}.attention.output", context)
        inner = encoder.product(f"{name}.intermediate", encoder.norm(f"{name}.output.norm", rows))
        return rows + encoder.product(f"{name}.output", encoder.activation(inner))


FAMILIES: dict[str, Architecture] = {"shifted": Shifted(), "prenorm": PreNorm()}


@pytest.fixture(params=FAMILIES)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Checkpoint:
    """A random checkpoint of the family, with the head for masks, as its trainer would save it."""
    family: str = request.param
    monkeypatch.setitem(ARCHITECTURES, family, FAMILIES[family])
    sizes = EncoderConfig(
        **SIZES,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
        labels=(),
        multi_label=False,
        model_type=family,
    )
    rng = np.random.default_rng(3)
    names = FAMILIES[family].weight_names
    tensors = {
        checkpoint_key(name, names): rng.normal(scale=0.4, size=shape).astype(np.float32)
        for name, shape in canonical_shapes(sizes, ("mlm", "nsp", "pooler"), labels=0).items()
    }
    assert {"shifted.blocks.2.q.weight", "lm.norm.bias", "shifted.words.weight"} <= set(tensors)
    folder = tmp_path / family
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    prefix = FAMILIES[family].class_prefix
    config = FAMILIES[family].config_fields(sizes)
    config |= {"model_type": family, "architectures": [f"{prefix}ForPreTraining"]}
    (folder / "config.json").write_text(json.dumps(config))
    return read_checkpoint(folder)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_family_is_exported_and_restored(
    checkpoint: Checkpoint, tmp_path: Path, precision: str
) -> None:
    out = tmp_path / "model"
    manifest = export_model(checkpoint, out, precision=precision, progress=lambda _: None)
    assert manifest.architecture.model_type == checkpoint.config.model_type
    assert manifest.max_tokens == SIZES["max_position_embeddings"] - FIRST
    assert manifest.heads == ("mlm", "nsp", "pooler")
    if precision == "fp32":
        assert max(manifest.parity.values()) <= TOLERANCE
        restore(out, tmp_path / "restored")
        again = read_checkpoint(tmp_path / "restored")
        assert again.config == checkpoint.config
        for name, value in checkpoint.weights.items():
            np.testing.assert_array_equal(again.weights[name], value)
    elif precision == "int8":
        assert 0.9 < manifest.quantization_error["embedding_cosine_worst"] < 1


def test_row_does_not_depend_on_the_rows_read_or_on_the_batch(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    graph = build_graph(checkpoint, tmp_path / "graph", layers=(-2,))
    assert "token_type_ids" not in {node.name for node in graph.session.get_inputs()}
    rng = np.random.default_rng(8)
    texts = [Text(rng.integers(0, 67, n), np.zeros(n, np.int64)) for n in (3, 27, 11)]
    some = graph.run(texts, [[0, 2], [0, 26], [0]])["token_vectors"]
    everything = graph.run(texts)["token_vectors"]
    alone = graph.run(texts[1:2])["token_vectors"]
    assert difference(some, everything[[0, 2, 3, 29, 30]]) <= TOLERANCE
    assert difference(alone, everything[3:30]) <= TOLERANCE
