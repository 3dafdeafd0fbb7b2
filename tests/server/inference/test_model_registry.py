"""Which folders are models, and which one answers."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from models.manifest import ManifestError
from server.errors import Draining, MissingHead, ModelNotFound, ModelRequired, NotReady
from server.inference.model_registry import SHIPPED, AnyTask, Phase, Registry, model_folders
from server.inference.pipeline import Pipeline
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.fill_mask import FILL_MASK
from server.inference.tasks.question_answering import QUESTION_ANSWERING
from server.inference.tasks.rerank import RERANK
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION
from tests.server.inference.conftest import resources


async def loaded(folder: Path, default: str | None = None, **aliases: str) -> Registry:
    registry = Registry()
    await registry.load(folder, default, lambda: resources(threads=1), aliases)
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


@pytest.mark.parametrize("name", [b"no-utf8-\xff", b"two\nlines", b"\x1b[2J", "\u2028".encode()])
def test_a_name_that_no_answer_can_hold_is_refused(tmp_path: Path, name: bytes) -> None:
    odd = tmp_path / os.fsdecode(name)
    make(tmp_path, "fine", odd.name)
    with pytest.raises(ManifestError, match=r"can be printed, not '[ -~]+'$"):
        model_folders(tmp_path)
    (odd / "manifest.json").write_text("{}")
    with pytest.raises(ManifestError, match="can be printed"):
        model_folders(odd)


def test_before_models_are_loaded_nothing_is_ready() -> None:
    registry = Registry()
    assert registry.phase is Phase.LOADING
    with pytest.raises(NotReady):
        registry.find()


def test_models_answer_by_name_by_alias_or_by_what_is_asked(classifiers: Path) -> None:
    async def work() -> None:
        registry = await loaded(classifiers / "models", None, ner="names", stars_v2="stars")
        assert registry.phase is Phase.READY
        assert list(registry.pipelines) == sorted(registry.pipelines)
        for asked, own in (("names", "names"), ("ner", "names"), ("stars_v2", "stars")):
            assert registry.find(asked, EMBED) == (own, registry.pipelines[own])
        assert registry.find(None, QUESTION_ANSWERING)[0] == "answers"
        assert registry.find(None, TOKEN_CLASSIFICATION)[0] == "names"
        with pytest.raises(ModelNotFound) as absent:
            registry.find("absent")
        assert absent.value.param == "model"
        assert all(name in absent.value.message for name in registry.pipelines)
        tasks: tuple[AnyTask | None, ...] = (None, EMBED, TEXT_CLASSIFICATION)
        for task in tasks:
            with pytest.raises(ModelRequired, match="reviews, stars, topics") as several:
                registry.find(None, task)
            assert ("answers" in several.value.message) == (task is not TEXT_CLASSIFICATION)
        for name in ("reviews", "ner"):
            with pytest.raises(MissingHead) as lacks:
                registry.find(name, QUESTION_ANSWERING)
            assert lacks.value.message == (
                f"The checkpoint of {registry.aliases.get(name, name)} had no question-answering "
                "head. /question-answering is answered by: answers."
            )
        assert registry.find(None, FILL_MASK)[0] == "reviews"
        few = Registry()
        few.serve({name: registry.pipelines[name] for name in ("names", "topics")}, None, {})
        for asked_of, own in ((None, "names, topics"), ("topics", "topics")):
            with pytest.raises(MissingHead) as lacks:
                few.find(asked_of, FILL_MASK)
            assert lacks.value.message == (
                f"The checkpoint of {own} had no masked language model head. "
                "No loaded model answers /fill-mask."
            )
        # Of models that have the head, one that could be told which label to rank by is asked.
        assert few.find(None, RERANK) == few.find("topics", RERANK)
        await registry.drain()
        named = await loaded(classifiers / "models", "subject", subject="topics")
        assert named.find()[0] == named.find(None, EMBED)[0] == named.default == "topics"
        assert named.find(None, QUESTION_ANSWERING)[0] == "answers"
        await named.drain()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("names", "default", "expected"),
    [
        (["only"], None, "only"),
        (["a", "b"], None, ""),
        (["a", SHIPPED, "z"], None, SHIPPED),
        (["a", SHIPPED], "a", "a"),
    ],
)
def test_of_several_models_the_first_by_name_is_no_default(
    names: list[str], default: str | None, expected: str, cloze: Pipeline
) -> None:
    registry = Registry()
    registry.serve(dict.fromkeys(names, cloze), default, {})
    assert registry.default == expected


@pytest.mark.parametrize(
    ("aliases", "told"),
    [({"ada": "absent"}, "'absent'"), ({"names": "stars"}, "'names'"), ({"a/b": "x/y"}, "'x/y'")],
)
def test_an_alias_of_nothing_or_in_place_of_a_model_is_refused_before_loading(
    classifiers: Path, aliases: dict[str, str], told: str
) -> None:
    with pytest.raises(ManifestError, match=told):
        asyncio.run(loaded(classifiers / "models", None, **aliases))


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
