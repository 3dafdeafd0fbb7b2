"""The chain of modules in modules.json, and what each module's folder must hold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
)

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint

OLD = "sentence_transformers.models."


@pytest.mark.parametrize(
    ("kinds", "sentence"),
    [
        (("Transformer", "Pooling", "Asym"), "lists Transformer, Pooling, Asym"),
        (("Transformer", "WordWeights", "Pooling"), "lists Transformer, WordWeights, Pooling"),
        (("MLMTransformer", "SpladePooling"), "lists MLMTransformer, SpladePooling"),
        (("Transformer", "WeightedLayerPooling"), "lists Transformer, WeightedLayerPooling"),
        (("Transformer", "Normalize", "Pooling"), "lists Transformer, Normalize, Pooling"),
        (("Pooling",), "lists Pooling"),
        ((), "lists nothing"),
    ],
)
def test_other_chains_of_modules_are_refused(
    old: Callable[..., Path], kinds: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(old(*kinds))


@pytest.mark.parametrize(
    ("modules", "sentence"),
    [
        ([{"type": "custom_st.Transformer", "path": ""}], "code of its own"),
        ([{"type": f"{OLD}Transformer", "path": "../other"}], "outside the checkpoint"),
        ([{"type": f"{OLD}Transformer", "path": "/etc"}], "outside the checkpoint"),
        ([{"type": f"{OLD}Transformer", "path": "", "kwargs": ["task"]}], "json sets kwargs"),
        ([{"type": f"{OLD}Transformer", "name": "a"}] * 2, "lists Transformer, Transformer"),
        (
            [{"type": OLD + kind, "name": "0"} for kind in ("Transformer", "Pooling")],
            "one name to two modules",
        ),
        ([7], "must hold a JSON object"),
        ({}, "must hold a list"),
    ],
)
def test_modules_from_elsewhere_are_refused(bert: Path, modules: object, sentence: str) -> None:
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(bert)


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("1_Pooling", "lists a Pooling in 1_Pooling, but 1_Pooling/config.json is missing"),
        ("2_Dense/config.json", "a Dense in 2_Dense, but 2_Dense/config.json is missing"),
        ("2_Dense/model.safetensors", "The Dense in 2_Dense has no model.safetensors"),
    ],
)
def test_what_a_module_lacks_is_named(
    sentence_bert: Callable[..., Path], gone: str, sentence: str
) -> None:
    folder = sentence_bert(Pooling(12), Dense(12, 5), Normalize())
    path = folder / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(ExportError, match=sentence):
        read_checkpoint(folder)


def test_a_missing_transformer_is_named(bert: Path) -> None:
    modules = [{"type": f"{OLD}Transformer", "path": "0_Transformer"}]
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ExportError, match="a Transformer in 0_Transformer, which is missing"):
        read_checkpoint(bert)
