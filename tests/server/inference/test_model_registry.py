"""Which folders are models, and which one answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.manifest import ManifestError
from server.errors import NotReady
from server.inference.model_registry import Phase, Registry, model_folders


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


def test_model_folders_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path, "b", "a", "_work", ".hidden", "__pycache__")
    (tmp_path / "README.md").write_text("not a folder")
    assert list(model_folders(tmp_path)) == ["a", "b"]


def test_a_model_folder_stands_for_itself(tmp_path: Path) -> None:
    make(tmp_path, "only")
    (tmp_path / "only" / "manifest.json").write_text("{}")
    assert model_folders(tmp_path / "only") == {"only": tmp_path / "only"}


def test_no_model_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no model folder"):
        model_folders(tmp_path)
    with pytest.raises(ManifestError, match="not a folder"):
        model_folders(tmp_path / "absent")


def test_before_models_are_loaded_nothing_is_ready() -> None:
    registry = Registry()
    assert registry.phase is Phase.LOADING
    with pytest.raises(NotReady):
        registry.pipeline(None)
