"""What the encoder adds up for a token is what transformers normalises, of every family."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.check.layers import Text
from export.graph.linear import HalfLinear, Linear
from export.graph.quantize import Int8Linear
from models.embedding_tables import PADDING, Embedded, EmbeddingTables
from models.manifest import Architecture, ManifestError, ModelManifest, load_manifest, record_files
from tests import families
from tests.export.built_graph import build_graph
from tests.families import FAMILIES, Made

SAME = 1e-6  # absolute: the tables are the checkpoint's, and few numbers are added
HALF = 2e-3  # absolute, numbers below 1 in float16
STEP = 0.6 / 127  # of a number in int8, whose row has none beyond 0.6


def manifest_of(made: Made, folder: Path, like: ModelManifest) -> ModelManifest:
    """A manifest that is true of the tables in `folder`."""
    config = made.checkpoint.config
    sizes = {name: getattr(config, name) for name in Architecture.__dataclass_fields__}
    return dataclasses.replace(
        like,
        architecture=Architecture(**sizes),
        max_tokens=made.checkpoint.max_tokens,
        files=record_files(folder),
    )


def added_up(made: Made, text: Text) -> Any:
    """What transformers' first norm is given: float32 (t, E)."""
    given: list[Any] = []
    norms = [own for own in made.model.modules() if isinstance(own, torch.nn.LayerNorm)]
    hooks = [own.register_forward_pre_hook(lambda _, args: given.append(args[0])) for own in norms]
    made.wanted(text)
    for hook in hooks:
        hook.remove()
    return given[0][0].numpy()


def total(parts: Embedded) -> Any:
    """What is added up: float32 (t, numbers)."""
    return np.sum([part for part in parts if part is not None], axis=0)


def sums(made: Made, folder: Path, like: ModelManifest) -> Iterator[tuple[Text, Any]]:
    """The sum of the embeddings of each of some texts."""
    tables = EmbeddingTables.of(folder, manifest_of(made, folder, like))
    for text in made.texts:
        parts = tables.read(text.ids, text.type_ids, tables.width)
        yield text, total(parts)


@pytest.fixture(scope="module")
def like(default_model: Path) -> ModelManifest:
    return load_manifest(default_model)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_familys_embeddings_add_up_to_what_is_normalised(
    name: str, tmp_path: Path, like: ModelManifest
) -> None:
    made = families.make(name, FAMILIES[name].classes[0], tmp_path / "checkpoint")
    build_graph(made.checkpoint, tmp_path / "graph")
    for text, found in sums(made, tmp_path / "graph", like):
        np.testing.assert_allclose(found, added_up(made, text), rtol=0, atol=SAME)


@pytest.mark.parametrize(("linear", "atol"), [(HalfLinear, HALF), (Int8Linear, STEP)])
def test_smaller_precisions_are_read_as_numbers(
    linear: type[Linear], atol: float, tmp_path: Path, like: ModelManifest
) -> None:
    made = families.make("bert", "ForMaskedLM", tmp_path / "checkpoint")
    build_graph(made.checkpoint, tmp_path / "graph", linear=linear)
    for text, found in sums(made, tmp_path / "graph", like):
        np.testing.assert_allclose(found, added_up(made, text), rtol=0, atol=atol)


def test_a_text_may_spell_the_padding_behind_which_positions_are_counted(
    tmp_path: Path, like: ModelManifest
) -> None:
    made = families.make("roberta", "ForMaskedLM", tmp_path / "checkpoint")
    build_graph(made.checkpoint, tmp_path / "graph")
    tables = EmbeddingTables.of(
        tmp_path / "graph", manifest_of(made, tmp_path / "graph", like)
    )  # fmt: skip
    ids = np.array([5, 1, 7, 1, 1, 9])
    parts = tables.read(ids, np.zeros_like(ids), 3)
    text = Text(ids, np.zeros_like(ids))
    np.testing.assert_allclose(total(parts), added_up(made, text)[:, :3], rtol=0, atol=SAME)


def test_what_a_family_lacks_is_not_made_up(tmp_path: Path, like: ModelManifest) -> None:
    parts = {}
    for name in ("distilbert", "nomicbert", "modernbert"):
        made = families.make(name, FAMILIES[name].classes[0], tmp_path / name)
        folder = build_graph(made.checkpoint, tmp_path / f"{name}-graph").folder
        tables = EmbeddingTables.of(folder, manifest_of(made, folder, like))
        found = tables.read(np.array([5, 6]), np.array([0, 0]), 4)
        parts[name] = [field for field, part in found._asdict().items() if part is not None]
    assert parts == {
        "distilbert": ["token", "position"],
        "nomicbert": ["token", "segment"],
        "modernbert": ["token"],
    }


def test_no_more_numbers_come_than_there_are(default_model: Path, like: ModelManifest) -> None:
    tables = EmbeddingTables.of(default_model, like)
    found = tables.read(np.array([101, 102]), np.array([0, 1]), 10**9)
    assert {part.shape for part in found if part is not None} == {(2, tables.width)}
    few = tables.read(np.array([101, 102]), np.array([0, 1]), 5)
    np.testing.assert_array_equal(few.token, found.token[:, :5])


@pytest.mark.parametrize("padding", [40, -2, 10**15, "1", True, 0.5])
def test_positions_that_the_table_does_not_have_are_refused(
    padding: Any, tmp_path: Path, like: ModelManifest
) -> None:
    made = families.make("roberta", "Model", tmp_path / "checkpoint")
    folder = build_graph(made.checkpoint, tmp_path / "graph").folder
    manifest = manifest_of(made, folder, like)
    wrong = dataclasses.replace(
        manifest, architecture=dataclasses.replace(
            manifest.architecture, choices={PADDING: padding}
        ),
    )  # fmt: skip
    with pytest.raises(ManifestError, match=r"graph/model.onnx has 41 positions, which"):
        EmbeddingTables.of(folder, wrong)


def test_a_second_segment_is_told_where_there_is_one(tmp_path: Path, like: ModelManifest) -> None:
    types = np.array([0, 1])
    for options, told in (({}, True), ({"type_vocab_size": 1}, False)):
        made = families.make("bert", "Model", tmp_path / f"{told}", **options)
        folder = build_graph(made.checkpoint, tmp_path / f"{told}-graph").folder
        tables = EmbeddingTables.of(folder, manifest_of(made, folder, like))
        assert tables.tell_apart(types) is told
        assert tables.tell_apart(types[:1])
