"""Contexts in windows, answers as rows of them, and the loss over ragged windows."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.finetune.conftest import Write, read
from tests.training.finetune.toy_tasks import PIECES, Example
from training.errors import TrainingError
from training.finetune.data import Answer, QuestionExample
from training.finetune.inputs import WordPieces, collate
from training.finetune.questions import (
    LONGEST,
    Window,
    best_answer,
    choose,
    locate,
    prepare_questions,
    span_loss,
    windows,
)
from training.finetune.task import Task

CONTEXT = "then we the carlson, very long. much old annaberg? some of a ben much the rome"
NOT_HERE = [0, 0]
TOKENS = " ".join(chr(0x4E00 + place) for place in range(50))  # fifty different tokens


def asked(text: str, question: str = "who?") -> Example:
    answers = [{"text": text, "answer_start": CONTEXT.index(text)}] if text else []
    return {"question": question, "context": CONTEXT, "answers": answers}


def prepare(
    tiny: Path, write: Write, *examples: Example, max_tokens: int, overlap: int = 6
) -> Task:
    pieces = WordPieces(tiny, max_tokens=max_tokens, vocab_size=len(PIECES))
    found = read(write("q.jsonl", examples), QuestionExample)
    return prepare_questions(found, found, pieces, overlap=overlap)


@pytest.mark.parametrize("max_tokens", [14, 15, 16, 17])  # windows that end at each of its pieces
@pytest.mark.parametrize("answer", ["carlson", "annaberg? some", "ben", "rome", "then"])
def test_rows_of_the_answer_spell_it_in_every_window_that_has_it(
    tiny: Path, write: Write, answer: str, max_tokens: int
) -> None:
    pieces = WordPieces(tiny, max_tokens=50, vocab_size=len(PIECES))
    (encoding,) = pieces.of([answer])
    inputs = prepare(tiny, write, asked(answer), max_tokens=max_tokens).train.inputs
    spelt = []
    for part in inputs:
        assert PIECES[part.ids[part.rows[0]]] == "[CLS]"
        assert part.rows[1] == part.second == 4  # [CLS] who ? [SEP]
        assert part.rows[-1] == len(part.ids) - 2
        if part.targets.tolist() != NOT_HERE:
            first, last = part.rows[part.targets]
            spelt.append(part.ids[first : last + 1].tolist())
        else:
            text = " ".join(map(str, part.ids.tolist()))
            assert " ".join(map(str, encoding.ids)) not in text
    assert len(inputs) > 2
    assert spelt
    assert all(ids == encoding.ids for ids in spelt)


@pytest.mark.parametrize(
    ("tokens", "room", "overlap"),
    [(1, 5, 2), (23, 5, 2), (23, 5, 9), (23, 5, 0), (5, 5, 1), (3, 1, 1)],
)
def test_windows_cover_every_token_and_share_the_overlap(
    tokens: int, room: int, overlap: int
) -> None:
    spans = windows(tokens, room, overlap)
    assert {token for begin, end in spans for token in range(begin, end)} == set(range(tokens))
    assert all(end - begin <= room for begin, end in spans)
    assert all(a[1] - b[0] == min(overlap, room // 2) for a, b in pairwise(spans))
    assert all(begin + room < tokens for begin, _ in spans[:-1])


def test_answer_is_located_by_the_characters_it_shares() -> None:
    offsets = [(0, 4), (4, 6), (7, 9), (9, 10)]
    assert locate(offsets, Answer("abc", 5)) == (1, 2)
    assert locate(offsets, Answer(" ", 6)) is None


def test_long_question_leaves_half_the_room_to_the_context(tiny: Path, write: Write) -> None:
    example = asked("ben", question="where " * 40)
    inputs = prepare(tiny, write, example, max_tokens=21).train.inputs
    assert {part.second for part in inputs} == {2 + 9}
    assert max(len(part.ids) for part in inputs) == 21


def test_question_without_an_answer_is_not_here_everywhere(tiny: Path, write: Write) -> None:
    inputs = prepare(tiny, write, asked(""), max_tokens=17).train.inputs
    assert all(part.targets.tolist() == NOT_HERE for part in inputs)


def test_context_without_pieces_is_refused(tiny: Path, write: Write) -> None:
    example = {"question": "who?", "context": "\u200b", "answers": []}
    with pytest.raises(TrainingError, match=r"q\.jsonl, line 1: the tokenizer keeps nothing"):
        prepare(tiny, write, example, max_tokens=17)


def test_loss_is_that_of_each_window_alone(tiny: Path, write: Write) -> None:
    inputs = prepare(tiny, write, asked("ben"), asked("then"), max_tokens=17).train.inputs
    batch = collate(inputs)
    assert len(set(batch.counts.tolist())) > 1  # ragged
    logits = torch.randn(int(batch.counts.sum()), 2, generator=torch.Generator().manual_seed(1))
    alone = [
        functional.cross_entropy(part.T, torch.from_numpy(entry.targets))
        for part, entry in zip(torch.split(logits, batch.counts.tolist()), inputs, strict=True)
    ]
    torch.testing.assert_close(span_loss(logits, batch), torch.stack(alone).mean())
    logits.requires_grad_()
    span_loss(logits, batch).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_certain_rows_score_in_full_and_silence_counts_where_it_may(
    tiny: Path, write: Write
) -> None:
    task = prepare(tiny, write, asked("annaberg? some"), asked(""), max_tokens=17)
    logits = [np.zeros((len(part.rows), 2), np.float32) for part in task.train.inputs]
    for values, part in zip(logits, task.train.inputs, strict=True):
        values[part.targets, [0, 1]] = 20
    assert task.train.score(logits) == {"exact_match": 1.0, "f1": 1.0}
    only = prepare(tiny, write, asked("annaberg? some"), max_tokens=17)
    silent = [np.zeros((len(part.rows), 2), np.float32) for part in only.train.inputs]
    for values in silent:
        values[0] = 20
    assert only.train.score(silent)["exact_match"] == 0
    assert task.train.score([*silent, *silent]) == {"exact_match": 0.5, "f1": 0.5}


def a_window(tokens: int, example: int = 0, start: int = 0) -> Window:
    return Window(example, tuple((start + 2 * i, start + 2 * i + 1) for i in range(tokens)))


@pytest.mark.parametrize("tokens", [1, 2, 7, 50])
def test_best_span_is_the_one_that_a_plain_search_finds(tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    for _ in range(20):
        logits = (4 * rng.standard_normal((1 + tokens, 2))).astype(np.float32)
        probability = np.exp(logits) / np.exp(logits).sum(axis=0)
        wanted = max(
            (probability[1 + i, 0] * probability[1 + j, 1], i, j)
            for i in range(tokens)
            for j in range(i, min(tokens, i + LONGEST))
        )
        found, not_here = best_answer(TOKENS, a_window(tokens), logits)
        assert found.text == TOKENS[2 * wanted[1] : 2 * wanted[2] + 1]
        assert found.score == pytest.approx(wanted[0], rel=1e-4)
        assert not_here == pytest.approx(probability[0].prod(), rel=1e-4)


@pytest.mark.parametrize(("tokens", "whole"), [(LONGEST, True), (LONGEST + 1, False)])
def test_answers_are_as_long_as_they_may_be_and_no_longer(tokens: int, *, whole: bool) -> None:
    logits = np.zeros((51, 2), np.float32)
    logits[3, 0] = logits[3 + tokens - 1, 1] = 20
    found, _ = best_answer(TOKENS, a_window(50), logits)
    assert (found.text == TOKENS[2 * 2 : 2 * (tokens + 1) + 1]) == whole


def test_window_that_says_not_here_loses_against_one_that_has_the_answer() -> None:
    elsewhere = np.array([[20, 20], [15, 15], [0, 0]], np.float32)  # high logits, still: not here
    here = np.array([[0, 0], [0, 0], [5, 5]], np.float32)
    places = [a_window(2), a_window(2, start=4)]
    for count, abstain, answer in (
        (2, False, "d"),
        (2, True, "d"),
        (1, False, "a"),
        (1, True, ""),
    ):
        logits = [elsewhere, here][:count]
        (found,) = choose(["a b c d"], places[:count], logits, abstain=abstain)
        assert found.text == answer


def test_answers_go_to_their_own_questions() -> None:
    first = np.array([[0, 0], [9, 9], [0, 0]], np.float32)
    places = [a_window(2, example=1), a_window(2, example=0), a_window(2, example=1, start=4)]
    found = choose(
        ["a b", "c d e f"], places, [first, first[[0, 2, 1]], first / np.float32(9)], abstain=False
    )
    assert [one.text for one in found] == ["b", "c"]
