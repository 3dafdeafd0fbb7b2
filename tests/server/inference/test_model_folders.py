"""Whatever a manifest says, its folder is refused in one sentence, or served as it should be."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models.manifest import ManifestError
from server.errors import ClozeError
from server.http.routes.models import _unix_seconds
from server.inference.pipeline import Pipeline
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION, PredictOptions
from tests.server.inference.conftest import resources, value_of

LIMIT_S = 5.0
MISSING = object()
VALUES: tuple[Any, ...] = (
    MISSING, None, True, False, "", "x", "\ud800", "a" * 100_000, "../x", -1, 0, 1, 2, 3, 7, 1.5,
    -2, 10**6, 2**31, 2**63, 10**400, math.nan, math.inf, [], [1], ["x"], {}, {"x": 1}, [[]],
)  # fmt: skip
Way = tuple[str | int, ...]
# What may say something else and be right: how texts are read, not what the graph computes.
CHOICES = {"pooling", "multi_label", "regression", "labels", "max_tokens", "heads"}
TEXTS = ["the soup was great", "What a dull film!"]


def ways(value: object, way: Way = ()) -> Iterator[Way]:
    """Every place in a JSON value, containers too."""
    if way:
        yield way
    if isinstance(value, dict):
        for name, each in value.items():
            yield from ways(each, (*way, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from ways(each, (*way, index))


def changed(manifest: dict[str, Any], way: Way, value: object) -> dict[str, Any]:
    found = copy.deepcopy(manifest)
    data: Any = found
    for step in way[:-1]:
        data = data[step]
    if value is MISSING:
        del data[way[-1]]
    else:
        data[way[-1]] = value
    return found


def answers(folder: Path) -> list[Any]:
    """What a pipeline answers, and that what the routes show of it can be written."""
    pipeline = Pipeline(folder, resources(threads=1))
    try:
        pipeline.start()
        pipeline.warm()
        orjson.dumps(dataclasses.asdict(pipeline.manifest))
        orjson.dumps(_unix_seconds(pipeline.manifest.created))
        vectors = value_of(pipeline, EMBED, TEXTS, EmbedOptions())
        found: list[Any] = [vectors.tolist()]
        inputs = [(text, None) for text in TEXTS]
        if "sequence" in pipeline.manifest.heads:
            ranked = value_of(pipeline, TEXT_CLASSIFICATION, inputs, PredictOptions())
            found += [[label.score for label in each] for each in ranked]
        if "mlm" in pipeline.manifest.heads:
            filled = value_of(pipeline, FILL_MASK, ["the [MASK] was great"], FillMaskOptions())
            found += [repr(filled)]
        assert np.isfinite(vectors).all()
        return found
    finally:
        pipeline.close()


def outcome(folder: Path) -> str | list[Any]:
    """The sentence of a refusal, or the answers."""
    try:
        return answers(folder)
    except ManifestError as error:
        return str(error)
    except ClozeError as error:
        if error.status >= 500:
            raise
        return [error.status]  # as where max_tokens is less than the texts have


def test_every_part_of_a_manifest_may_be_anything(classifiers: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(classifiers / "models" / "reviews", tmp_path / "reviews"))
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    expected = outcome(folder)
    refused = served = 0
    for way in ways(manifest):
        for value in VALUES:
            case = f"{way} = {str(value)[:40]}"
            path.write_text(json.dumps(changed(manifest, way, value)))
            begun = time.monotonic()
            found = outcome(folder)
            assert time.monotonic() - begun < LIMIT_S, case
            if isinstance(found, str):
                refused += 1
                assert found.startswith("reviews/"), case
                assert len(found) < 500, case
                assert "\n" not in found, case
            else:
                served += 1
                assert found == expected or way[0] in CHOICES, case
    assert refused > 1000
    assert served > 100


@pytest.mark.parametrize("name", ["answers", "names", "topics", "stars", "matches"])
def test_every_model_that_was_exported_is_served(classifiers: Path, name: str) -> None:
    assert answers(classifiers / "models" / name)
