"""What Trainer is compared by: it learns the same inputs, with the same targets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from scripts import trainer
from scripts.beside_trainer import Examples, Side, line
from tests.training.finetune import toy_tasks
from tests.training.finetune.conftest import Write
from training.finetune.preparation import prepare
from training.finetune.source import Data, DataOptions, read_data
from training.finetune.task import Options


def both(
    kind: str, rows: list[Any], tiny: Path, tmp_path: Path, write: Write
) -> tuple[Any, list[Any]]:
    """Our inputs, and those of transformers for what is handed to it."""
    data: Data = read_data(kind, write("rows.jsonl", rows), None, DataOptions())
    examples = Examples.of(data, tmp_path)
    ours = prepare(data, tiny, Options(), torch.device("cpu")).task.train.inputs
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    _, theirs, _ = trainer.prepared(kind, data.problem, examples.rows(), tiny, tokenizer)
    for one, other in zip(ours, theirs, strict=True):
        assert one.ids.tolist() == other["input_ids"]
        assert one.second == len(one.ids) - sum(other["token_type_ids"])
    return ours, theirs


several = [
    {"text": "glad angry", "label": ["bad", "good"]},
    {"text": "we", "label": []},
    {"text": "a sad ben", "label": ["bad"]},
]
numbers = [{"text": "glad", "label": 0.5}, {"text": "sad", "label": 2}]


@pytest.mark.parametrize("rows", [toy_tasks.moods(20, 1), several, numbers])
def test_texts_are_the_same_for_both(
    rows: list[Any], tiny: Path, tmp_path: Path, write: Write
) -> None:
    for one, other in zip(*both("sequence", rows, tiny, tmp_path, write), strict=True):
        labels = other["labels"]
        assert one.targets.tolist() == (labels if isinstance(labels, list) else [labels])


def test_words_are_the_same_for_both(tiny: Path, tmp_path: Path, write: Write) -> None:
    rows = toy_tasks.entities(20, 1)
    for one, other in zip(*both("token", rows, tiny, tmp_path, write), strict=True):
        read = [at for at, label in enumerate(other["labels"]) if label != trainer.NO_LABEL]
        assert one.rows.tolist() == read
        assert one.targets.tolist() == [other["labels"][at] for at in read]


def test_answers_are_the_same_for_both(tiny: Path, tmp_path: Path, write: Write) -> None:
    rows = [*toy_tasks.questions(20, 1), {"question": "who?", "context": "we then", "answers": []}]
    for one, other in zip(*both("question", rows, tiny, tmp_path, write), strict=True):
        span = [other["start_positions"], other["end_positions"]]
        assert one.rows[one.targets].tolist() == span


def test_seeds_are_averaged() -> None:
    pairs = [(Side("f1", 80.0, 6.0), Side("f1", 81.0, 12.0)),
             (Side("f1", 82.0, 8.0), Side("f1", 80.0, 16.0))]  # fmt: skip
    assert line("names", pairs) == "| names | f1 | 81.0 | 80.5 | +0.5 | 7 s | 14 s | 0.50 |"
