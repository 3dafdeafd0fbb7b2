"""Model folders: in float32 they answer as their checkpoints, whatever the task, also cut."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.evaluate.labelled.conftest import TASKS, rows_of, write_rows
from tests.training.evaluate.labelled.test_checkpoint import checkpoint
from training.data.read import Form
from training.errors import TrainingError
from training.evaluate.labelled.material import read_material
from training.evaluate.labelled.served import Served
from training.evaluate.labelled.task_model import Running, TaskModel
from training.finetune.data import QuestionExample, TokenExample

CLOSE = 1e-4


def answered(model: TaskModel, examples: Any, *, abstain: bool = False) -> Any:
    with closing(model):
        if model.about.kind == "token":
            return model.tags(examples)
        if model.about.kind == "question":
            return model.answers(examples, abstain=abstain)
        return model.scores(examples)


@pytest.mark.parametrize("name", TASKS)
def test_in_float32_it_answers_as_its_checkpoint(
    classifiers: Path, tmp_path: Path, name: str
) -> None:
    here = checkpoint(classifiers, name)
    there = Served(classifiers / "models" / name, Running(batch_size=9), threads=1)
    for field in ("name", "kind", "labels", "problem", "precision"):
        assert getattr(here.about, field) == getattr(there.about, field)
    path = write_rows(tmp_path / "rows.jsonl", rows_of(name))
    examples = read_material(path, here.about, Form()).examples
    ours, theirs = answered(here, examples), answered(there, examples)
    if name == "answers":
        assert [found.text for found in ours] == [found.text for found in theirs]
        ours, theirs = ([found.score for found in side] for side in (ours, theirs))
    if name == "names":
        assert ours == theirs
    else:
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_long_inputs_are_read_alike(classifiers: Path, tmp_path: Path) -> None:
    text = "The film was great, and the hotel was dull. " * 6
    tags = ["O"] * len(text.split())
    for name, row in (
        ("reviews", {"text": text, "label": "positive"}),
        ("matches", {"text": text, "text_pair": "ada lives in oslo. " * 9, "label": []}),
        ("names", {"tokens": text.split(), "ner_tags": tags}),
        (
            "answers",
            {"question": "Who lives in lima?", "context": text * 2, "answers": ["dull"][:0]},
        ),
    ):
        here = checkpoint(classifiers, name)
        examples = read_material(
            write_rows(tmp_path / "rows.jsonl", [row]), here.about, Form()
        ).examples
        there = Served(classifiers / "models" / name, Running(), threads=1)
        ours, theirs = (answered(model, examples, abstain=True) for model in (here, there))
        if name in {"names", "answers"}:
            texts = [[getattr(one, "text", one) for one in side] for side in (ours, theirs)]
            assert texts[0] == texts[1]
        else:
            np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_words_of_any_kind_keep_their_own_label(classifiers: Path) -> None:
    words = ("Clara", "\u200b", "lives", "in", "New", "York,", "(Oslo)", "\u200b")
    example = TokenExample(words, ("O",) * len(words), "line 1")
    here, there = (
        answered(model, [example])[0]
        for model in (
            checkpoint(classifiers, "names"),
            Served(classifiers / "models" / "names", Running(), threads=1),
        )
    )
    assert here == there
    assert [tag is None for tag in here] == [word == "\u200b" for word in words]


@pytest.mark.parametrize(("asked", "overlap"), [(24, 5), (20, 0)])
def test_windows_of_contexts_are_cut_alike(classifiers: Path, asked: int, overlap: int) -> None:
    context = "The film was dull and clara lives in kyoto, and omar lives in oslo. " * 3
    example = QuestionExample("Who lives in oslo?", context, (), "line 1")
    running = {"max_tokens": asked, "overlap": overlap}
    (here,) = answered(checkpoint(classifiers, "answers", **running), [example])
    served = Served(classifiers / "models" / "answers", Running(**running), threads=1)
    (there,) = answered(served, [example])
    assert here.text == there.text
    assert here.score == pytest.approx(there.score, abs=CLOSE)


def test_what_a_model_folder_does_not_do_is_said(
    classifiers: Path, default_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"--max-tokens is for checkpoints: reviews reads 40"):
        Served(classifiers / "models" / "reviews", Running(max_tokens=20))
    with pytest.raises(TrainingError, match=r"has the heads mlm.*; expected is one of sequence"):
        Served(default_model, Running(), threads=1)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"manifest\.json"):
        Served(tmp_path, Running(), threads=1)


def test_a_row_that_is_not_read_is_named(classifiers: Path, tmp_path: Path) -> None:
    model = Served(classifiers / "models" / "reviews", Running(batch_size=2), threads=1)
    rows = [*rows_of("reviews")[:3], {"text": "\u200b", "label": "neutral"}]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    examples = read_material(path, model.about, Form()).examples
    with pytest.raises(TrainingError, match=r"rows.jsonl, line 4: The text is empty"):
        answered(model, examples)
