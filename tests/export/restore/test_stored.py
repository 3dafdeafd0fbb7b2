"""What is read back from graphs that the exporter wrote, in each of its precisions."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.architectures.registry import canonical_shapes
from export.errors import ExportError
from export.graph.builder import GRAPH_FILE
from export.graph.quantize import quantise_rows
from export.graph.smoothing import SmoothedWeights, factor_name, smoothed
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.weights import Float32
from export.restore.stored import StoredModel, open_stored
from export.write.model_folder import LINEARS
from tests.export.built_graph import MemoryWeights, build_graph

HALF_A_STEP = 0.5 + 1e-4  # of an int8 scale; the rest is float32's rounding of the product
HALF_PRECISION = 2**-11  # relative, of numbers in float16's normal range
SMALLEST_HALF = 2**-25  # absolute, half a step of those below it

Save = Callable[..., Path]


def stored(checkpoint: Checkpoint, folder: Path, precision: str) -> StoredModel:
    build_graph(checkpoint, folder, linear=LINEARS[precision], layers=(-2,))
    return open_stored(folder)


def near(checkpoint: Checkpoint) -> Checkpoint:
    """The same with smoothed weights, as int8 folders are built."""
    return dataclasses.replace(checkpoint, weights=smoothed(checkpoint.weights, checkpoint.config))


def shapes_of(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    tied = "mlm.decoder.weight" not in checkpoint.weights
    labels = len(checkpoint.config.labels)
    return canonical_shapes(checkpoint.config, checkpoint.heads, labels=labels, tied=tied)


def read_back(checkpoint: Checkpoint, folder: Path, precision: str) -> dict[str, Float32]:
    return stored(checkpoint, folder, precision).read(shapes_of(checkpoint))


@pytest.fixture
def checkpoint(bert: Path) -> Checkpoint:
    """The tiny BertForPreTraining."""
    return read_checkpoint(bert)


def test_float32_comes_back_bit_by_bit(checkpoint: Checkpoint, tmp_path: Path) -> None:
    found = read_back(checkpoint, tmp_path / "graph", "fp32")
    assert set(found) == set(checkpoint.weights)
    for name, weight in found.items():
        assert weight.dtype == np.float32
        assert weight.flags.c_contiguous
        assert weight.tobytes() == checkpoint.weights[name].tobytes(), name


def test_float16_comes_back_as_rounded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    found = read_back(checkpoint, tmp_path / "graph", "fp16")
    assert set(found) == set(checkpoint.weights)
    for name, weight in found.items():
        wanted = checkpoint.weights[name]
        limit = np.maximum(np.abs(wanted) * HALF_PRECISION, SMALLEST_HALF)
        assert (np.abs(weight - wanted) <= limit).all(), name
    assert any((found[name] != checkpoint.weights[name]).any() for name in found)


@pytest.mark.parametrize("architecture", ["BertForPreTraining", "BertForTokenClassification"])
def test_int8_comes_back_to_half_a_step(save: Save, tmp_path: Path, architecture: str) -> None:
    checkpoint = read_checkpoint(save(architecture, num_labels=5))
    found = read_back(checkpoint, tmp_path / "graph", "int8")
    assert set(found) == set(checkpoint.weights)
    for name, weight in found.items():
        wanted = checkpoint.weights[name]
        if wanted.ndim == 1:
            assert np.array_equal(weight, wanted), name
            continue
        scale = np.abs(wanted).max(axis=1, keepdims=True) / 127
        assert (np.abs(weight - wanted) <= HALF_A_STEP * scale).all(), name
    rounded = {name for name in found if (found[name] != checkpoint.weights[name]).any()}
    assert "embeddings.word" in rounded
    assert "layers.2.attention.key.weight" in rounded


def test_int8_that_came_back_rounds_to_the_same_integers(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    found = read_back(checkpoint, tmp_path / "graph", "int8")
    for name in ("embeddings.word", "layers.0.intermediate.weight", "layers.2.output.weight"):
        before, after = quantise_rows(checkpoint.weights[name]), quantise_rows(found[name])
        assert np.array_equal(before.values, after.values), name
        np.testing.assert_array_max_ulp(before.scale, after.scale, maxulp=1)


@pytest.mark.parametrize("architecture", ["BertForPreTraining", "BertForTokenClassification"])
def test_smoothed_int8_comes_back_to_half_a_step(
    save: Save, tmp_path: Path, architecture: str
) -> None:
    checkpoint = read_checkpoint(save(architecture, num_labels=5))
    smooth = near(checkpoint)
    found = stored(smooth, tmp_path / "graph", "int8").read(shapes_of(checkpoint))
    assert set(found) == set(checkpoint.weights)
    for name, weight in found.items():
        wanted = checkpoint.weights[name]
        assert weight.dtype == np.float32
        assert weight.flags.c_contiguous
        if wanted.ndim == 1:
            assert np.array_equal(weight, wanted), name
            continue
        factor = smooth.weights[factor_name(name)] if factor_name(name) else np.float32(1)
        step = np.abs(wanted / factor).max(axis=1, keepdims=True) / 127 * factor
        assert (np.abs(weight - wanted) <= HALF_A_STEP * step).all(), name


def test_smoothed_int8_that_came_back_is_the_same_to_the_bit(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    first = near(checkpoint)
    back = stored(first, tmp_path / "first", "int8").read(shapes_of(checkpoint))
    second = near(dataclasses.replace(checkpoint, weights=MemoryWeights(back)))
    assert isinstance(first.weights, SmoothedWeights)
    for name in first.weights:
        if name.endswith(".factor"):
            np.testing.assert_array_equal(first.weights[name], second.weights[name])
    again = stored(second, tmp_path / "second", "int8").read(shapes_of(checkpoint))
    for name, weight in back.items():
        assert again[name].tobytes() == weight.tobytes(), name


def test_row_of_zeros_comes_back(checkpoint: Checkpoint, tmp_path: Path) -> None:
    arrays = {name: checkpoint.weights[name] for name in checkpoint.weights}
    arrays["embeddings.word"] = arrays["embeddings.word"].copy()
    arrays["embeddings.word"][3] = 0
    emptied = dataclasses.replace(checkpoint, weights=MemoryWeights(arrays))
    found = read_back(emptied, tmp_path / "graph", "int8")
    assert not found["embeddings.word"][3].any()
    assert found["embeddings.word"][4].any()


@pytest.mark.parametrize("precision", LINEARS)
def test_separate_decoder_comes_back(save: Save, tmp_path: Path, precision: str) -> None:
    checkpoint = read_checkpoint(save("BertForMaskedLM", tie_word_embeddings=False))
    model = stored(checkpoint, tmp_path / "graph", precision)
    assert not model.tied
    decoder = model.read(shapes_of(checkpoint))["mlm.decoder.weight"]
    np.testing.assert_allclose(decoder, checkpoint.weights["mlm.decoder.weight"], atol=0.02)


def test_epsilon_is_the_checkpoints(save: Save, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save("BertModel", layer_norm_eps=3e-7))
    assert stored(checkpoint, tmp_path / "graph", "fp32").layer_norm_eps == 3e-7


def test_tensor_that_no_weight_is_made_of_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = stored(checkpoint, tmp_path / "graph", "int8")
    shapes = shapes_of(checkpoint)
    del shapes["nsp.weight"]
    with pytest.raises(ExportError, match=r"holds nsp\.weight, which no weight is made of"):
        model.read(shapes)


def test_weight_that_is_missing_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = stored(checkpoint, tmp_path / "graph", "int8")
    with pytest.raises(ExportError, match=r"lacks qa\.weight"):
        model.read(shapes_of(checkpoint) | {"qa.weight": (2, 12)})
    half = dataclasses.replace(
        model, tensors={k: t for k, t in model.tensors.items() if k != "embeddings.word.scale"}
    )
    with pytest.raises(ExportError, match=r"lacks embeddings\.word\.scale"):
        half.read(shapes_of(checkpoint))


def test_other_shape_than_the_manifests_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = stored(checkpoint, tmp_path / "graph", "fp32")
    with pytest.raises(ExportError, match=r"nsp\.weight .* has shape \(2, 12\); .* \(3, 12\)"):
        model.read(shapes_of(checkpoint) | {"nsp.weight": (3, 12)})


def test_weights_in_another_file_are_not_followed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    stored(checkpoint, tmp_path / "graph", "fp32")
    path = tmp_path / "graph" / GRAPH_FILE
    graph = onnx.load(path, load_external_data=False)
    entry = next(t for t in graph.graph.initializer if t.external_data)
    entry.external_data[0].value = "../elsewhere"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(ExportError, match=r"in another file than model\.onnx\.data"):
        open_stored(tmp_path / "graph").read(shapes_of(checkpoint))


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / GRAPH_FILE).write_bytes(b"no graph at all")
    with pytest.raises(ExportError, match="is not an ONNX graph"):
        open_stored(tmp_path)
    (tmp_path / GRAPH_FILE).write_bytes(b"")
    with pytest.raises(ExportError, match="has 0 epsilons"):
        open_stored(tmp_path)
