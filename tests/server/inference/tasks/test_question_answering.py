"""Answers against plain loops over transformers' logits, in one part and in several."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from server.errors import EmptyText, InvalidParameter, TooLong, TooManyInputs
from server.inference.pipeline import Pipeline
from server.inference.tasks.question_answering import (
    QUESTION_ANSWERING,
    AnswerOptions,
    Found,
    Question,
)
from server.settings import Limits
from tests.fine_tuned import LONGEST, PEOPLE, PLACES, WORDS
from tests.server.inference.conftest import proceed, run_task, value_of

PARITY = 1e-4  # largest difference of a score from the reference in float32
Load = Callable[[str], Pipeline]

CLARA = Question(
    "Where does Clara live?",
    "The film was great and Clara lives in Berkeley, where it is very dull.",
)
FILLER = "The film was great and the soup was awful. "
LONG = Question(CLARA.question, FILLER * 5 + "Clara lives in Berkeley. " + FILLER * 4)


def random_questions() -> Iterator[Question]:
    """Known and unknown words, names, punctuation and what the vocabulary cannot spell."""
    draw = random.Random(11)  # noqa: S311 - to be repeatable
    words = [*PEOPLE, *PLACES, *(word for word in WORDS if "#" not in word)]
    words += ["Clara", "New York", "hum", "na\u00efve", "\u6771\u4eac", "\U0001f600", "it's,"]
    for count in (1, 2, 5, 8, 9, 30) * 2:
        question = draw.choice([CLARA.question, "Who lives in Oslo?", "what", "\u6771\u4eac?"])
        yield Question(question, " ".join(draw.choice(words) for _ in range(count)))


QUESTIONS = (CLARA, Question("Who lives in Oslo?", "Maria Lopez lives in Oslo."), LONG)


@pytest.fixture(scope="module")
def answers(classifier: Load) -> Pipeline:
    return classifier("answers")


class Reference:
    """Every span of every part, weighed one by one. Transformers 5 has no such pipeline."""

    def __init__(self, checkpoint: Path) -> None:
        model: Any = transformers.BertForQuestionAnswering.from_pretrained(checkpoint)
        self.model = model.eval()
        self.tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(checkpoint)

    def __call__(self, asked: Question, options: AnswerOptions) -> list[Found]:
        size = options.max_tokens or LONGEST
        room = size - 3 - len(self.tokenizer(asked.question, add_special_tokens=False).input_ids)
        parts = self.tokenizer(
            asked.question,
            asked.context,
            truncation="only_second",
            max_length=size,
            stride=room // 2 if options.overlap is None else options.overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best: dict[str, Found] = {}
        nothing = 1.0
        for index in range(len(parts.input_ids)):
            none, found = self._part(parts, index, asked.context, options)
            nothing = min(nothing, none)
            for key, answer in found.items():
                best[key] = max(best.get(key, answer), answer)
        every = sorted(best.values(), reverse=True)
        if options.may_be_unanswerable:
            every = sorted([*every, Found(nothing, 0, 0, "")], reverse=True)
        return every[: options.top_k]

    def _part(
        self, parts: Any, index: int, context: str, options: AnswerOptions
    ) -> tuple[float, dict[str, Found]]:
        """How likely there is no answer, and the score of every answer, in one part."""
        with torch.inference_mode():
            out = self.model(
                input_ids=torch.tensor([parts.input_ids[index]]),
                token_type_ids=torch.tensor([parts.token_type_ids[index]]),
            )
        own = parts[index]
        inside = [place for place, sequence in enumerate(own.sequence_ids) if sequence == 1]
        kept = torch.tensor([0, *inside])
        starts = torch.softmax(out.start_logits[0, kept].double(), 0).tolist()
        ends = torch.softmax(out.end_logits[0, kept].double(), 0).tolist()
        spans = [
            (starts[1 + first] * ends[1 + last], inside[first], inside[last])
            for first in range(len(inside))
            for last in range(first, min(first + options.max_answer_tokens, len(inside)))
        ]
        spans.sort(reverse=True)
        words = self._words(context)
        found: dict[str, Found] = {}
        considered = options.top_k * 2 + 10 if options.whole_words else options.top_k
        for score, first, last in spans[:considered]:
            start, end = own.offsets[first][0], own.offsets[last][1]
            if options.whole_words:
                start, end = words[start][0], words[end - 1][1]
            text = context[start:end]
            earlier = found.get(text.lower(), Found(0.0, start, end, text))
            found[text.lower()] = earlier._replace(score=earlier.score + score)
        return starts[0] * ends[0], found

    def _words(self, context: str) -> dict[int, tuple[int, int]]:
        """The word around each character: start and end."""
        whole = self.tokenizer(context, add_special_tokens=False)[0]
        spans = [whole.word_to_chars(word) for word in whole.word_ids]
        return {place: (start, end) for start, end in spans for place in range(start, end)}


@pytest.fixture(scope="module")
def reference(classifiers: Path) -> Reference:
    return Reference(classifiers / "checkpoints" / "answers")


def ask(pipeline: Pipeline, *questions: Question, **options: Any) -> list[list[Found]]:
    return value_of(pipeline, QUESTION_ANSWERING, questions, AnswerOptions(**options))


@pytest.mark.parametrize(
    "options",
    [
        AnswerOptions(),
        AnswerOptions(top_k=4, may_be_unanswerable=True),
        AnswerOptions(top_k=3, max_answer_tokens=1),
        AnswerOptions(top_k=3, whole_words=False, overlap=0),
        AnswerOptions(top_k=2, max_answer_tokens=4, overlap=7),
        AnswerOptions(top_k=2, max_tokens=21),
    ],
    ids=str,
)
def test_answers_are_those_of_every_span_weighed(
    options: AnswerOptions, answers: Pipeline, reference: Reference
) -> None:
    questions = [*QUESTIONS, *random_questions()]
    found = value_of(answers, QUESTION_ANSWERING, questions, options)
    for asked, own in zip(questions, found, strict=True):
        wanted = reference(asked, options)
        assert [one.score for one in own] == pytest.approx(
            [one.score for one in wanted], abs=PARITY
        )
        for one, two, after in zip(own, wanted, [*wanted[1:], None], strict=True):
            if after is None or two.score - after.score > PARITY:
                assert one[1:] == two[1:]


def test_what_was_learnt_is_known(answers: Pipeline) -> None:
    found = ask(answers, *QUESTIONS)
    assert [best.answer for (best,) in found] == ["Berkeley", "Maria Lopez", "Berkeley"]
    for asked, (best,) in zip(QUESTIONS, found, strict=True):
        assert asked.context[best.start : best.end] == best.answer
        assert 0.5 < best.score <= 1


def test_a_score_never_passes_one_where_parts_overlap(answers: Pipeline) -> None:
    (best,), (all_of_it,) = ask(answers, LONG), ask(answers, LONG, overlap=25, top_k=50)
    assert best[0].score <= 1
    assert sum(one.score for one in all_of_it if one.answer == "Berkeley") <= 1
    keys = [one.answer.lower() for one in all_of_it]
    assert len(keys) == len(set(keys))


def test_an_answer_may_be_none(answers: Pipeline) -> None:
    every = {"top_k": 100, "max_answer_tokens": 1}
    (found,) = ask(answers, CLARA, **every, may_be_unanswerable=True)
    assert [one[1:] for one in found].count((0, 0, "")) == 1
    (other,) = ask(answers, CLARA, **every)
    assert other == [one for one in found if one.answer]


def test_parts_leave_room_for_the_question_and_overlap(answers: Pipeline) -> None:
    options = AnswerOptions(overlap=7)
    items = QUESTION_ANSWERING.plan([LONG], options, answers.model, proceed).items()
    lengths = [len(item.encoding) for item in items]
    assert set(lengths[:-1]) == {LONGEST}
    assert lengths[-1] <= LONGEST
    question = answers.model.tokenizer.pieces(LONG.question, LONGEST, truncate=False, param="").ids
    contexts = [item.encoding.ids[len(question) + 2 : -1].tolist() for item in items]
    for before, after in pairwise(contexts):
        assert before[-7:] == after[:7]
    whole = [*contexts[0], *(token for part in contexts[1:] for token in part[7:])]
    pieces = answers.model.tokenizer.located(LONG.context, None, truncate=False, param="")
    assert whole == pieces.ids


def test_a_question_is_cut_only_on_request(answers: Pipeline) -> None:
    long = Question("where " * 38, "Clara lives in Berkeley.")
    with pytest.raises(TooLong) as error:
        ask(answers, CLARA, long)
    assert error.value.param == "inputs[1].question"
    options = AnswerOptions(max_question_tokens=3)
    cut = run_task(answers, QUESTION_ANSWERING, [CLARA, long], options)
    assert cut.usage.truncated == (True, True)
    short = Question("where where where", long.context)
    (expected,) = ask(answers, short, max_question_tokens=3)
    assert cut.value[1] == expected
    assert not any(run_task(answers, QUESTION_ANSWERING, [short], options).usage.truncated)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"top_k": 10**6}, "parameters.top_k"),
        ({"max_tokens": LONGEST + 1}, "parameters.max_seq_len"),
        ({"overlap": 31}, "parameters.doc_stride"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    options: dict[str, int], param: str, answers: Pipeline
) -> None:
    with pytest.raises(InvalidParameter) as error:
        ask(answers, CLARA, **options)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("empty", "field"),
    [(Question(" ", "a"), "question"), (Question("a", ""), "context")],
)
def test_a_question_and_a_context_have_something_in_them(
    empty: Question, field: str, answers: Pipeline
) -> None:
    with pytest.raises(EmptyText) as error:
        ask(answers, CLARA, empty)
    assert error.value.param == f"inputs[1].{field}"


def test_too_many_parts_are_refused_before_they_are_made(answers: Pipeline) -> None:
    few = replace(answers.model, limits=Limits(max_inputs=4))
    with pytest.raises(TooManyInputs):
        QUESTION_ANSWERING.plan([LONG], AnswerOptions(), few, proceed)
