"""What a checkpoint got wrong, as the command writes it: against the figures and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tests.training.evaluate.conftest import PIECES
from tests.training.evaluate.test_command import evaluate, figures
from training.corpus import Corpus
from training.errors import TrainingError
from training.evaluate.inference import SEED
from training.evaluate.next_sentence import PAIRS, says_next
from training.evaluate.pairs import random_pairs
from training.evaluate.prompts import read_prompts
from training.evaluate.subject import Subject

Line = dict[str, Any]


@pytest.fixture
def written(
    tiny: Path, corpus_folder: Path, prompts_file: Path, tmp_path: Path
) -> tuple[list[Line], dict[str, Any]]:
    """The lines of the file, and the figures of the same run."""
    out, table = tmp_path / "mistakes.jsonl", tmp_path / "figures.json"
    material = ("--corpus", corpus_folder, "--prompts", prompts_file)
    evaluate(tiny, *material, "--mistakes", out, "--json", table)
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return lines, figures(table)[0]


def test_there_are_as_many_as_the_figures_say(
    written: tuple[list[Line], dict[str, Any]],
) -> None:
    lines, table = written
    for key in ("nsp.random", "nsp.hard", "nsp.short", "prompts.top1"):
        found = sum(line["measure"] == key for line in lines)
        figure = table[key]
        assert found == round((1 - figure["value"]) * figure["count"]), key
        assert found, key


def test_pairs_are_the_wrong_ones_and_say_what_is_right(
    written: tuple[list[Line], dict[str, Any]], subject: Subject, corpus: Corpus
) -> None:
    plan = random_pairs(corpus, count=PAIRS, sequence_tokens=37, seed=SEED)
    answers = says_next(subject.model, corpus, plan)
    lines = {line["number"]: line for line in written[0] if line["measure"] == "nsp.random"}
    assert sorted(lines) == np.flatnonzero(answers != plan.is_next).tolist()
    for number, line in lines.items():
        assert line["is_next"] is not bool(answers[number])
        for name in ("first", "second"):
            start, end = (getattr(plan, f"{name}_{side}")[number] for side in ("start", "end"))
            words = [PIECES[token] for token in corpus.tokens[start:end]]
            assert line[name].replace(" ", "") == "".join(words)  # no space before a full stop


def test_prompts_come_with_the_words_that_transformers_has_first(
    written: tuple[list[Line], dict[str, Any]],
    subject: Subject,
    prompts_file: Path,
    reference: transformers.BertForPreTraining,
) -> None:
    lines = {line["text"]: line for line in written[0] if line["measure"] == "prompts.top1"}
    for prompt in read_prompts(prompts_file)[:4]:  # the vocabulary lacks the fifth one's answer
        encoding = subject.tokenizer.encode(prompt.text)
        with torch.no_grad():
            logits = reference(input_ids=torch.tensor([encoding.ids])).prediction_logits[0]
        best = logits[encoding.tokens.index("[MASK]")].topk(5).indices.tolist()
        words = [subject.tokenizer.decode([i], skip_special_tokens=False) for i in best]
        assert (prompt.text in lines) == (words[0] not in prompt.accept)
        if line := lines.get(prompt.text):
            assert line["best"] == words
            assert line["accept"] == list(prompt.accept)


def test_folder_that_does_not_exist_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not exist"):
        evaluate(tmp_path / "no checkpoint", "--mistakes", tmp_path / "no" / "mistakes.jsonl")
