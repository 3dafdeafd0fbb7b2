"""A graph that is not what its manifest says is refused before a session opens it."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.graph_file import require_graph
from models.manifest import ManifestError, ModelManifest, load_manifest, record_files
from models.pooling import PoolingModule

Edit = Callable[[onnx.ModelProto], object]


@pytest.fixture(params=["reviews", "names", "answers"])
def any_folder(request: pytest.FixtureRequest, classifiers: Path) -> Path:
    return classifiers / "models" / str(request.param)


@pytest.fixture
def folder(classifiers: Path, tmp_path: Path) -> Path:
    """A tiny classifier with every pretraining head."""
    return Path(shutil.copytree(classifiers / "models" / "reviews", tmp_path / "reviews"))


def refused(folder: Path, manifest: ModelManifest) -> str:
    with pytest.raises(ManifestError) as error:
        require_graph(folder, dataclasses.replace(manifest, files=record_files(folder)))
    message = str(error.value)
    assert message.startswith(f"{folder.name}/model.onnx ")
    assert "\n" not in message
    return message


def edit(folder: Path, change: Edit) -> ModelManifest:
    path = folder / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    return dataclasses.replace(load_manifest_of(folder), files=record_files(folder))


def load_manifest_of(folder: Path) -> ModelManifest:
    """The manifest as it was, whatever became of the files since."""
    from models.manifest import _parse  # noqa: PLC0415

    return _parse(folder)


def tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    found: onnx.TensorProto = next(each for each in model.graph.initializer if each.name == name)
    return found


def place(model: onnx.ModelProto, **entries: str) -> None:
    for entry in tensor(model, "embeddings.word").external_data:
        entry.value = entries.get(entry.key, entry.value)


def test_what_the_exporter_writes_is_taken(any_folder: Path) -> None:
    require_graph(any_folder, load_manifest(any_folder))


def test_the_committed_model_in_int8_is_taken(default_model: Path) -> None:
    require_graph(default_model, load_manifest(default_model))


def test_float16_is_taken_and_not_for_another_precision(minilm_half: Path) -> None:
    manifest = load_manifest(minilm_half)
    require_graph(minilm_half, manifest)
    said = refused(minilm_half, dataclasses.replace(manifest, precision="int8"))
    assert said.endswith("has fp16 where the manifest's precision say int8.")


@pytest.fixture(scope="module")
def minilm_half(classifiers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier in float16."""
    from export.read.checkpoint import read_checkpoint  # noqa: PLC0415
    from export.write.model_folder import export_model  # noqa: PLC0415

    out = tmp_path_factory.mktemp("half") / "half"
    checkpoint = read_checkpoint(classifiers / "checkpoints" / "reviews")
    export_model(checkpoint, out, precision="fp16", progress=lambda _: None)
    return out


@pytest.mark.parametrize(
    ("size", "change", "said"),
    [
        ("vocab_size", -1, "vocab_size"),
        ("vocab_size", 1, "vocab_size"),
        ("hidden_size", 3, "hidden_size"),
        ("max_position_embeddings", 1, "max_position_embeddings"),
        ("type_vocab_size", 1, "type_vocab_size"),
        ("type_vocab_size", -1, "type_vocab_size"),
        ("num_hidden_layers", 1, "num_hidden_layers"),
        ("num_attention_heads", 1, "num_attention_heads"),
        ("num_attention_heads", -1, "num_attention_heads"),
        ("intermediate_size", 1, "intermediate_size"),
    ],
)
def test_sizes_are_those_of_the_weights(folder: Path, size: str, change: int, said: str) -> None:
    manifest = load_manifest(folder)
    value = getattr(manifest.architecture, size) + change
    sizes = dataclasses.replace(manifest.architecture, **{size: value})
    assert said in refused(folder, dataclasses.replace(manifest, architecture=sizes))


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"segments": False}, "has True where the manifest's architecture.segments say False"),
        ({"classifier_pooling": "mean"}, "has False where the manifest's architecture.classifier"),
        ({"embedding_size": 35}, "vocab_size and embedding_size"),
        ({"stored_layers": 1}, "stored_layers"),
        ({"stored_layers": 2, "num_hidden_layers": 3}, "num_hidden_layers say 3"),
    ],
)
def test_choices_are_those_of_the_graph(
    folder: Path, choices: dict[str, object], said: str
) -> None:
    manifest = load_manifest(folder)
    sizes = dataclasses.replace(manifest.architecture, **choices)  # type: ignore[arg-type]
    assert said in refused(folder, dataclasses.replace(manifest, architecture=sizes))


@pytest.mark.parametrize("size", ["intermediate_size", "num_hidden_layers"])
def test_sizes_of_an_int8_graph_are_those_of_the_weights(default_model: Path, size: str) -> None:
    manifest = load_manifest(default_model)
    sizes = dataclasses.replace(
        manifest.architecture, **{size: getattr(manifest.architecture, size) + 1}
    )
    with pytest.raises(ManifestError, match=size):
        require_graph(default_model, dataclasses.replace(manifest, architecture=sizes))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": ("one", "two")}, "sequence.weight"),
        ({"labels": ("one", "two", "three", "four")}, "sequence.weight"),
        ({"heads": ("pooler", "qa")}, "qa.weight"),
        ({"heads": ("token",)}, "token.weight"),
        ({"layers": ()}, "layers"),
        ({"opset": 23}, "opset"),
        ({"precision": "int8"}, "precision"),
        ({"precision": "fp16"}, "precision"),
    ],
)
def test_heads_labels_and_layers_are_those_of_the_graph(
    folder: Path, fields: dict[str, object], said: str
) -> None:
    manifest = load_manifest(folder)
    assert said in refused(folder, dataclasses.replace(manifest, **fields))  # type: ignore[arg-type]


def foreign_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "evil.example"


def foreign_import(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil.example", 1))


def subgraph(model: onnx.ModelProto) -> None:
    empty = helper.make_graph([], "inner", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", empty))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("x", "f", [], [], [], []))


def constant_tensor(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(2, np.float32))
    model.graph.node[0].attribute.append(helper.make_attribute("value", value))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def double_precision(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.DOUBLE, [1], [1.0]))


def not_a_number(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.array([1, np.nan], np.float32), "broken")
    model.graph.initializer.append(value)


def no_output(model: onnx.ModelProto) -> None:
    for output in model.graph.output:
        output.name = output.name.replace("sequence_logits", "other")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (foreign_domain, "domain 'evil.example'"),
        (foreign_import, "domain 'evil.example'"),
        (subgraph, "a field 6"),
        (function, "a field 25"),
        (constant_tensor, "a field 5"),
        (sparse, "a field 15"),
        (double_precision, "a field 10"),
        (not_a_number, "broken holds a number that is not finite"),
        (no_output, "sequence_logits"),
        (lambda model: place(model, location="../secret"), "does not list"),
        (lambda model: place(model, location="/etc/passwd"), "does not list"),
        (lambda model: place(model, location="model.onnx"), "does not list"),
        (lambda model: place(model, offset="-64"), "another size"),
        (lambda model: place(model, offset="99999999"), "beyond the end"),
        (lambda model: place(model, length="4"), "another size"),
        (lambda model: place(model, length="x"), "invalid literal"),
    ],
)
def test_what_no_graph_of_ours_has_is_refused(folder: Path, change: Edit, said: str) -> None:
    assert said in refused(folder, edit(folder, change))


def test_a_weight_that_is_not_finite_is_found_in_the_data_file(folder: Path) -> None:
    manifest = load_manifest(folder)
    path = folder / "model.onnx.data"
    weights = np.frombuffer(path.read_bytes(), np.float32).copy()
    weights[weights.nonzero()[0][100]] = np.inf
    path.write_bytes(weights.tobytes())
    assert "not finite" in refused(folder, manifest)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_bytes_are_refused_or_harmless(folder: Path, seed: int) -> None:
    """Whatever the bytes are, nothing but the one error comes of them."""
    manifest = load_manifest(folder)
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(0, len(content), 8):
        content[at] = rng.integers(256)
    path.write_bytes(bytes(content[: rng.integers(1, len(content))] if seed % 2 else content))
    with suppress(ManifestError):
        require_graph(folder, dataclasses.replace(manifest, files=record_files(folder)))


@pytest.fixture(scope="module")
def with_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose vectors go through one Dense module."""
    from export.read.checkpoint import read_checkpoint  # noqa: PLC0415
    from export.write.model_folder import export_model  # noqa: PLC0415
    from tests.sentence_folders import save_sentences  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("modules")
    checkpoint = read_checkpoint(save_sentences("labse", folder / "checkpoint"))
    export_model(checkpoint, folder / "labse", precision="int8", progress=lambda _: None)
    return folder / "labse"


def test_modules_behind_the_pooling_are_taken(with_modules: Path) -> None:
    require_graph(with_modules, load_manifest(with_modules))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"modules": ()}, "pooling.modules, for their weights, say 0"),
        ({"modules": (PoolingModule("dense", 31),)}, "for pooling.0.weight, say (31, 32)"),
        ({"modules": (PoolingModule("dense", 32, bias=False),)}, "their weights, say 1"),
        ({"modules": (PoolingModule("layer_norm", 32),)}, "for pooling.0.weight, say (32,)"),
        ({"modules": (PoolingModule("dense", 32),) * 2}, "for pooling.1.weight, say (32, 32)"),
        ({"mode": "cls+mean"}, "for pooling.0.weight, say (32, 64)"),
    ],
)
def test_modules_are_those_of_the_weights(
    with_modules: Path, changes: dict[str, Any], said: str
) -> None:
    manifest = load_manifest(with_modules)
    pooling = dataclasses.replace(manifest.pooling, dimensions=None, **changes)
    assert said in refused(with_modules, dataclasses.replace(manifest, pooling=pooling))


def test_modules_that_the_graph_lacks_are_named(folder: Path) -> None:
    manifest = load_manifest(folder)
    normalize = (PoolingModule("normalize", manifest.architecture.hidden_size),)
    pooling = dataclasses.replace(manifest.pooling, modules=normalize)
    said = refused(folder, dataclasses.replace(manifest, pooling=pooling))
    assert said.endswith(
        "has False where the manifest's pooling.modules, for sentence_vectors, say True."
    )
