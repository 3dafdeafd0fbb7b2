"""Which folders are models, and which one answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from models.manifest import ManifestError
from server.errors import Draining, ModelNotFound, NotReady
from server.inference.model_registry import Phase, Registry, model_folders
from server.inference.tasks.embed import EMBED, EmbedOptions
from tests.server.inference.conftest import resources


async def loaded(folder: Path, default: str | None = None) -> Registry:
    registry = Registry()
    await registry.load(folder, default, lambda: resources(threads=1))
    return registry


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


def test_loaded_models_answer_by_name_and_the_first_one_without(classifiers: Path) -> None:
    async def work() -> None:
        registry = await loaded(classifiers / "models")
        assert registry.phase is Phase.READY
        assert list(registry.pipelines) == sorted(registry.pipelines)
        assert registry.pipeline(None) is registry.pipeline("answers")
        assert registry.pipeline("names") is registry.pipelines["names"]
        with pytest.raises(ModelNotFound) as error:
            registry.pipeline("absent")
        assert error.value.param == "model"
        await registry.drain()
        named = await loaded(classifiers / "models", "topics")
        assert named.pipeline(None) is named.pipeline("topics")
        await named.drain()

    asyncio.run(work())


def test_a_default_that_is_not_there_is_refused_before_loading(classifiers: Path) -> None:
    with pytest.raises(ManifestError, match="'absent'"):
        asyncio.run(loaded(classifiers / "models", "absent"))


def test_a_drain_answers_what_was_admitted_by_any_model_and_refuses_the_rest(
    classifiers: Path,
) -> None:
    texts = ["the soup was great"] * 60

    async def work() -> None:
        registry = await loaded(classifiers / "models")
        pipelines = list(registry.pipelines.values())
        options = EmbedOptions()
        requests = [asyncio.create_task(each.run(EMBED, texts, options)) for each in pipelines]
        await asyncio.sleep(0)
        await registry.drain()
        assert registry.phase is Phase.DRAINING
        for request in requests:
            assert (await request).value.shape == (60, 36)
        for pipeline in pipelines:
            with pytest.raises(Draining):
                await pipeline.run(EMBED, texts, options)

    asyncio.run(work())


def test_draining_before_anything_is_loaded_returns_at_once() -> None:
    async def work() -> None:
        registry = Registry()
        await asyncio.wait_for(registry.drain(), 1)
        assert registry.phase is Phase.DRAINING

    asyncio.run(work())
