"""What is written for sentence-transformers, as this exporter and the library itself read it."""

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Pooling

from export.read.modules import Module, read_modules
from export.read.pooling import ReadPooling, read_pooling
from export.read.sentence_settings import read_model_settings, read_transformer_settings
from export.read.tensors import TensorSource, open_folder
from export.restore.sentence_folder import write_pooling
from models.pooling import PoolingModule, PoolingSpec
from tests.export.built_graph import MemoryWeights

HIDDEN = 12
PROMPTS = {"query": "find: ", "passage": "text: "}
DENSE = PoolingModule("dense", 5, "gelu", bias=False)
SPECS = [
    PoolingSpec("mean", True, 17, PROMPTS, "query"),
    PoolingSpec("cls", False, 17),
    PoolingSpec("max", True, 17, PROMPTS, include_prompt=False),
    PoolingSpec("weightedmean", False, 9, similarity="dot", dimensions=7),
    PoolingSpec("mean_sqrt_len_tokens", True, 17),
    PoolingSpec("lasttoken", False, 17),
    PoolingSpec("cls+max+weightedmean", False, 17, dimensions=30),
    PoolingSpec("mean+cls", True, 17),  # not in the order of the flags
    PoolingSpec("cls", True, 17, modules=(PoolingModule("dense", HIDDEN, "tanh"),)),
    PoolingSpec(
        "mean+max",
        False,
        17,
        dimensions=3,
        modules=(
            PoolingModule("layer_norm", 2 * HIDDEN),
            DENSE,
            PoolingModule("normalize", 5),
            PoolingModule("dense", 4, "identity"),
        ),
    ),
]


def opened(module: Module) -> TensorSource:
    source = open_folder(module.folder)
    assert source is not None
    return source


def written(folder: Path, spec: PoolingSpec) -> MemoryWeights:
    """The files of a spec with random weights, which are returned."""
    rng = np.random.default_rng(5)
    shapes = spec.shapes(HIDDEN)
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    write_pooling(folder, spec, arrays, HIDDEN)
    return MemoryWeights(arrays)


def read(folder: Path) -> ReadPooling:
    modules = read_modules(folder)
    settings = read_model_settings(folder, modules)
    most = read_transformer_settings(folder, settings.kind).max_tokens
    assert most is not None
    return read_pooling(modules, settings, hidden=HIDDEN, longest=most, open_module=opened)


@pytest.mark.parametrize("spec", SPECS)
def test_pooling_is_read_as_it_was_written(tmp_path: Path, spec: PoolingSpec) -> None:
    weights = written(tmp_path, spec)
    found = read(tmp_path)
    assert found.spec == spec
    assert set(found.weights) == set(weights)
    for name in weights:
        np.testing.assert_array_equal(found.weights[name], weights[name])


@pytest.mark.parametrize("spec", SPECS)
def test_library_reads_modules_as_they_were(tmp_path: Path, spec: PoolingSpec) -> None:
    weights = written(tmp_path, spec)
    pooling = Pooling.load(str(tmp_path), "1_Pooling")
    modes = pooling.pooling_mode
    assert "+".join([modes] if isinstance(modes, str) else modes) == spec.mode
    assert pooling.include_prompt == spec.include_prompt
    for number, module in enumerate(spec.modules):
        if module.kind == "normalize":
            continue
        kind = Dense if module.kind == "dense" else LayerNorm
        loaded = kind.load(str(tmp_path), f"{number + 2}_{kind.__name__}")
        (bias, weight) = (loaded.state_dict().get(f"{part}.bias") for part in ("linear", "norm"))
        stored = bias if bias is not None else weight
        if stored is not None:
            np.testing.assert_array_equal(stored, weights[f"pooling.{number}.bias"])
        else:
            assert not module.bias


def test_older_versions_find_flags_where_these_say_the_order(tmp_path: Path) -> None:
    written(tmp_path, PoolingSpec("cls+mean", False, 9))
    fields = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert fields["pooling_mode_cls_token"] is fields["pooling_mode_mean_tokens"] is True
    assert fields["pooling_mode_lasttoken"] is False
    assert "pooling_mode" not in fields
