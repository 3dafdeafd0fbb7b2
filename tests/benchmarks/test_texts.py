"""Texts have the lengths that the workloads are named for."""

from pathlib import Path
from statistics import mean, median

import pytest
from tokenizers import Tokenizer

from benchmarks.texts import LONG, long_lengths, mixed_lengths, of_lengths, sentences
from benchmarks.workloads import LIST, TASKS, Workloads


@pytest.fixture(scope="module")
def workloads(default_model: Path) -> Workloads:
    return Workloads(default_model / "tokenizer.json")


@pytest.fixture(scope="module")
def tokenizer(default_model: Path) -> Tokenizer:
    return Tokenizer.from_file(str(default_model / "tokenizer.json"))


def lengths(tokenizer: Tokenizer, texts: tuple[str, ...]) -> list[int]:
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


def test_short_texts_have_18_tokens_on_average(tokenizer: Tokenizer) -> None:
    assert mean(lengths(tokenizer, sentences())) == pytest.approx(18, abs=1)


def test_mixed_texts_are_log_normal_with_their_mean(tokenizer: Tokenizer) -> None:
    wanted = mixed_lengths(256)
    assert min(wanted) >= 4
    assert max(wanted) <= 380
    assert mean(wanted) == pytest.approx(55, abs=1)
    assert median(wanted) < 45  # a few long texts among many short ones
    texts = of_lengths(wanted, lambda text: len(tokenizer.encode(text).ids))
    assert mean(lengths(tokenizer, texts)) == pytest.approx(55, abs=2)


def test_long_texts_fit_the_model(tokenizer: Tokenizer) -> None:
    texts = of_lengths(long_lengths(32), lambda text: len(tokenizer.encode(text).ids))
    found = lengths(tokenizer, texts)
    assert min(found) >= LONG[0] - 5
    assert max(found) <= LONG[1]


def test_texts_of_one_length_have_it_and_differ(workloads: Workloads, tokenizer: Tokenizer) -> None:
    for tokens in (8, 64, 256):
        texts = tuple(q.texts[0] for q in workloads.of_tokens(tokens, "embed").questions)
        assert len(set(texts)) > 0.9 * len(texts)
        assert all(tokens - 5 <= length <= tokens for length in lengths(tokenizer, texts))


def test_every_fill_mask_question_has_one_mask(workloads: Workloads) -> None:
    for length in ("short", "mixed", "long"):
        questions = workloads.of(length, "fill-mask").questions
        assert all(question.texts[0].count("[MASK]") == 1 for question in questions)


def test_three_tasks_take_turns(workloads: Workloads) -> None:
    questions = workloads.three_tasks().questions
    assert tuple(question.task for question in questions[:6]) == TASKS * 2
    counts = {task: sum(q.task == task for q in questions) for task in TASKS}
    assert len(set(counts.values())) == 1


def test_a_list_is_one_question(workloads: Workloads) -> None:
    (question,) = workloads.lists().questions
    assert len(question.texts) == LIST
