"""Checkpoints: what they answer beside transformers, whole and cut, and what is refused."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.fine_tuned import LESSONS, TAGS
from tests.training.evaluate.labelled.conftest import TASKS, rows_of, write_rows
from training.data.read import Form
from training.errors import TrainingError
from training.evaluate.labelled.checkpoint import Checkpoint
from training.evaluate.labelled.material import read_material
from training.evaluate.labelled.task_model import Running
from training.finetune.data import SequenceExample, TokenExample
from training.finetune.labelling import Problem

CPU = torch.device("cpu")
CLOSE = 1e-5
PROBLEMS = {
    "reviews": Problem.CLASSES, "topics": Problem.SEVERAL, "stars": Problem.NUMBER,
    "matches": Problem.SEVERAL, "names": None, "answers": None,
}  # fmt: skip


def checkpoint(classifiers: Path, name: str, **running: Any) -> Checkpoint:
    return Checkpoint(classifiers / "checkpoints" / name, Running(**running), CPU)


def examples_of(name: str, model: Checkpoint, tmp_path: Path) -> Any:
    path = write_rows(tmp_path / "rows.jsonl", rows_of(name))
    return read_material(path, model.about, Form()).examples


def reference(classifiers: Path, name: str, head: str) -> tuple[Any, Any]:
    folder = classifiers / "checkpoints" / name
    model = getattr(transformers, f"BertFor{head}").from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", TASKS)
def test_what_a_checkpoint_is_for_is_told_by_its_config(classifiers: Path, name: str) -> None:
    about = checkpoint(classifiers, name).about
    assert about.labels == tuple(LESSONS[name].labels)
    assert about.problem is PROBLEMS[name]
    assert about.kind == {"names": "token", "answers": "question"}.get(name, "sequence")


@pytest.mark.parametrize("name", ["reviews", "topics", "stars", "matches"])
def test_texts_are_scored_as_transformers_does(
    classifiers: Path, tmp_path: Path, name: str
) -> None:
    model = checkpoint(classifiers, name, batch_size=7)
    examples = examples_of(name, model, tmp_path)
    theirs, tokenizer = reference(classifiers, name, "SequenceClassification")
    with torch.inference_mode():
        pairs = [(e.text,) if e.text_pair is None else (e.text, e.text_pair) for e in examples]
        logits = [theirs(**tokenizer(*pair, return_tensors="pt")).logits[0] for pair in pairs]
    function: Any = {
        Problem.CLASSES: lambda x: x.softmax(-1), Problem.SEVERAL: torch.sigmoid,
        Problem.NUMBER: lambda x: x,
    }[PROBLEMS[name] or Problem.CLASSES]  # fmt: skip
    np.testing.assert_allclose(model.scores(examples), function(torch.stack(logits)), atol=CLOSE)


def test_words_are_labelled_at_their_first_piece_as_transformers_does(
    classifiers: Path, tmp_path: Path
) -> None:
    model = checkpoint(classifiers, "names", batch_size=5)
    examples = examples_of("names", model, tmp_path)
    theirs, tokenizer = reference(classifiers, "names", "TokenClassification")
    for example, found in zip(examples, model.tags(examples), strict=True):
        encoded = tokenizer(list(example.words), is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            best = theirs(**encoded).logits[0].argmax(-1).tolist()
        words = encoded.word_ids(0)
        wanted = [TAGS[best[words.index(word)]] for word in range(len(example.words))]
        assert found == wanted


def test_a_long_sentence_is_cut_and_a_word_without_pieces_has_no_label(classifiers: Path) -> None:
    model = checkpoint(classifiers, "names", max_tokens=10)
    words = ("ada", "lives", "in", "lima") * 6
    example = TokenExample((*words, "\u200b"), ("O",) * 25, "line 1")
    (found,) = model.tags([example])
    assert len(found) == 25
    assert None not in found[:24]
    assert found[24] is None


def test_questions_are_answered_as_transformers_logits_say(
    classifiers: Path, tmp_path: Path
) -> None:
    model = checkpoint(classifiers, "answers", batch_size=3)
    examples = examples_of("answers", model, tmp_path)
    theirs, tokenizer = reference(classifiers, "answers", "QuestionAnswering")
    for example, found in zip(examples, model.answers(examples, abstain=False), strict=True):
        encoded = tokenizer(
            example.question, example.context, return_tensors="pt", return_offsets_mapping=True
        )
        offsets = encoded.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            output = theirs(**encoded)
        inside = torch.tensor([of == 1 for of in encoded.sequence_ids(0)])
        inside[0] = True
        starts, ends = (
            side[0].masked_fill(~inside, -torch.inf).softmax(-1)
            for side in (output.start_logits, output.end_logits)
        )
        spans = [
            (float(starts[a] * ends[b]), example.context[offsets[a][0] : offsets[b][1]])
            for a in range(1, len(offsets)) for b in range(a, len(offsets))
            if inside[a] and inside[b]
        ]  # fmt: skip
        score, text = max(spans)
        assert found.text == text
        assert found.score == pytest.approx(score, abs=CLOSE)


def changed(folder: Path, out: Path, **values: Any) -> Path:
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | values))
    return out


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"architectures": ["BertForMaskedLM"]},
            "architectures in its config.json names BertForMa",
        ),
        ({"architectures": None}, "has no head to measure: .* names no class; expected is one of"),
        ({"architectures": ["BertForQuestionAnswering"]}, "has no weights of the head that arch"),
        ({"id2label": {"0": "a"}}, "id2label in .* names 1 labels; the classifier has 3"),
        ({"problem_type": "other"}, "problem_type in .* is other; expected one of"),
    ],
)
def test_another_folder_is_refused_in_one_sentence(
    classifiers: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    folder = changed(classifiers / "checkpoints" / "reviews", tmp_path / "copy", **values)
    with pytest.raises(TrainingError, match=message):
        Checkpoint(folder, Running(), CPU)


def test_options_that_cannot_be_meant_are_refused(classifiers: Path) -> None:
    with pytest.raises(TrainingError, match="--max-tokens must be from 8 to the 40 positions"):
        checkpoint(classifiers, "reviews", max_tokens=41)
    with pytest.raises(TrainingError, match="--batch-size must be at least 1"):
        Running(batch_size=0)
    with pytest.raises(TrainingError, match="--overlap must not be negative"):
        Running(overlap=-1)


def test_a_checkpoint_that_computes_no_numbers_is_refused(classifiers: Path) -> None:
    model = checkpoint(classifiers, "reviews")
    with torch.no_grad():
        next(model._model.parameters())[:] = torch.nan
    with closing(model), pytest.raises(TrainingError, match="logits that are not finite"):
        model.scores([one_text()])


def one_text() -> SequenceExample:
    row = rows_of("reviews")[0]
    return SequenceExample(row["text"], None, row["label"], "line 1")
