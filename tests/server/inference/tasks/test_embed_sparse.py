"""Sparse vectors of long texts and of models that were not trained for them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.graph_file import require_graph
from models.manifest import ManifestError, load_manifest, write_manifest
from server.errors import AnswerTooLarge
from server.inference.pipeline import Pipeline
from server.inference.runtime.memory import RunMemory
from server.inference.runtime.packing import WordResult, WordWeights
from server.inference.tasks.embed import EmbedOptions
from server.inference.tasks.embed_sparse import EMBED_SPARSE, SparseOptions
from server.inference.tasks.pairs import Cut
from tests.server.inference.conftest import proceed, value_of

SAME = 1e-5
TEXTS = ["the river runs", "a", "word and number " * 30, "one two three four five six seven"]
ALL = SparseOptions(EmbedOptions(Cut(truncate=True)), max_active_dims=30522)


def weights(pipeline: Pipeline, texts: list[str]) -> np.ndarray:
    """float32 (texts, V)."""
    dense = np.zeros((len(texts), 30522), np.float32)
    results: list[WordResult] = value_of(pipeline, EMBED_SPARSE, texts, ALL)
    for line, found in zip(dense, results, strict=True):
        line[found.words] = found.weights
    return dense


def test_a_text_that_is_read_in_parts_has_the_same_weights(
    sparse: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weights(sparse, TEXTS)
    assert (whole > 0).any(axis=1).all()
    monkeypatch.setattr(RunMemory, "masks", lambda _memory, _tokens: 7)
    plan = EMBED_SPARSE.plan(TEXTS, ALL, sparse.model, proceed)
    items = plan.items()
    rows = [len(item.output.rows) for item in items if isinstance(item.output, WordWeights)]
    assert len(rows) == len(items) > 10
    assert max(rows) <= 7
    assert sum(len(item.encoding) for item in items) == plan.price.tokens
    np.testing.assert_allclose(weights(sparse, TEXTS), whole, rtol=0, atol=SAME)


def test_the_heaviest_words_of_parts_are_those_of_the_whole(
    sparse: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ALL._replace(max_active_dims=9)
    whole: list[WordResult] = value_of(sparse, EMBED_SPARSE, TEXTS, few)
    monkeypatch.setattr(RunMemory, "masks", lambda _memory, _tokens: 5)
    parts: list[WordResult] = value_of(sparse, EMBED_SPARSE, TEXTS, few)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.words, other.words)
        assert len(one.words) == 9 < one.found


def test_more_words_than_are_held_are_an_error_that_names_the_remedy(sparse: Pipeline) -> None:
    untrained = ALL._replace(max_active_dims=None)
    with pytest.raises(AnswerTooLarge, match="max_active_dims") as caught:
        value_of(sparse, EMBED_SPARSE, TEXTS, untrained)
    assert caught.value.param == "inputs[0]"


def test_a_result_holds_no_more_words_than_were_asked_for(sparse: Pipeline) -> None:
    plan = EMBED_SPARSE.plan(TEXTS[:1], ALL._replace(max_active_dims=3), sparse.model, proceed)
    (result,) = sparse._sessions.usual.run(plan.items())
    assert isinstance(result, WordResult)
    assert len(result.words) == 3 < result.found


def test_parity_with_the_reference_is_measured(sparse_model: Path) -> None:
    manifest = load_manifest(sparse_model)
    assert manifest.sparse
    assert 0 < manifest.parity["mlm_maxima"] < 1e-4
    assert "embed_sparse" in (sparse_model / "README.md").read_text()


def test_a_folder_must_say_what_its_graph_gives(sparse_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sparse_model, tmp_path / "sparse"))
    manifest = load_manifest(folder)
    write_manifest(folder, replace(manifest, sparse=False))
    with pytest.raises(ManifestError, match="sparse"):
        require_graph(folder, load_manifest(folder))
    refused = "sparse must be false without the head mlm"
    with pytest.raises(ManifestError, match=refused):
        write_manifest(folder, replace(manifest, heads=("nsp", "pooler")))
    with pytest.raises(ManifestError, match=refused):
        load_manifest(folder)
