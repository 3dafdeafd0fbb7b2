"""Fine-tuned models as checkpoints and as they are served, and examples of what they know."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from tests import fine_tuned
from tests.fine_tuned import LESSONS, OPINIONS, TOPICS, Example


def rows_of(name: str) -> list[dict[str, Any]]:
    """What a model of `tests.fine_tuned` was taught, as rows of a file."""
    examples = list(LESSONS[name].examples())[::3]
    return [_ROW[name](example) for example in examples]


def _opinion(example: Example) -> dict[str, Any]:
    return {"text": example.text, "label": OPINIONS[example.target]}


def _topics(example: Example) -> dict[str, Any]:
    chosen = [topic for topic, yes in zip(TOPICS, example.target, strict=True) if yes]
    return {"text": example.text, "labels": chosen}


def _stars(example: Example) -> dict[str, Any]:
    return {"text": example.text, "label": example.target}


def _match(example: Example) -> dict[str, Any]:
    chosen = ["match"] if example.target[0] else []
    return {"text": example.text, "text_pair": example.pair, "label": chosen}


def _names(example: Example) -> dict[str, Any]:
    words, tags, at = example.text.split(), [], 0
    for word in words:
        start = example.text.index(word, at)
        at = start + len(word)
        tags.append(fine_tuned._tag(example, start))
    return {"tokens": words, "ner_tags": tags}


def _question(example: Example) -> dict[str, Any]:
    start, end, _ = example.spans[0]
    answer = {"text": str(example.pair)[start:end], "answer_start": start}
    return {"question": example.text, "context": example.pair, "answers": [answer]}


_ROW: Mapping[str, Any] = {
    "answers": _question, "matches": _match, "names": _names, "reviews": _opinion,
    "stars": _stars, "topics": _topics,
}  # fmt: skip
TASKS = tuple(_ROW)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def int8_reviews(classifiers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of `reviews` in int8."""
    folder = tmp_path_factory.mktemp("int8") / "reviews-int8"
    checkpoint = read_checkpoint(classifiers / "checkpoints" / "reviews")
    export_model(checkpoint, folder, precision="int8", progress=lambda _: None)
    return folder
