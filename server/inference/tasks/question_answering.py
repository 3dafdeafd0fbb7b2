"""Questions with a context in, the passages of it that answer them out.

The model reads `[CLS] question [SEP] context [SEP]` and scores each token of the context as the
answer's first and as its last one; that [CLS] is both means that there is no answer. A context that
is too long is read in overlapping parts, each with the question. As in transformers, a part's
scores are probabilities over its own tokens and [CLS], and spans of word pieces stand for the whole
words that they touch: the same words reached from several spans add up.

The same words from several parts count once, with the best of their scores: transformers adds them
up here as well, which lets a score pass 1 and favours what lies where parts overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.probabilities import Float64, softmax
from models.spans import best_spans
from server.errors import InvalidParameter, TooLong
from server.inference.runtime.packing import Float32, Item, MaskResult, Result, TokenWant
from server.inference.tasks.plan import Limits, Plan
from server.inference.tasks.windows import Window, require_few, windows
from server.inference.tokenizer import Located, Tokenizer

SPECIAL_TOKENS = 3  # [CLS] question [SEP] context [SEP]
USUAL_TOKENS = 384  # of question and part together, as most models were trained with
USUAL_OVERLAP = 128  # tokens
USUAL_ANSWER = 15  # tokens


class Question(NamedTuple):
    """A question, and the text in which its answer stands."""

    question: str
    context: str


class Found(NamedTuple):
    """One answer."""

    score: float
    start: int
    end: int
    """Where in the context it stands: `context[start:end]`; 0 and 0 for no answer."""
    answer: str


@dataclass(frozen=True)
class AnswerOptions:
    """What a request asks besides its questions; None for what is usual."""

    top_k: int = 1
    """Answers per question."""
    max_answer_tokens: int = USUAL_ANSWER
    max_tokens: int | None = None
    """Of question and part together."""
    overlap: int | None = None
    """Tokens that the parts of a long context share."""
    max_question_tokens: int | None = None
    """A longer question is cut; None for never."""
    may_be_unanswerable: bool = False
    whole_words: bool = True


@dataclass(frozen=True)
class _Context:
    """One tokenised question with its context and the parts in which that is read."""

    text: str
    question: list[int]
    pieces: Located
    parts: list[Window]
    truncated: bool


def check_answer(options: AnswerOptions, limits: Limits) -> None:
    """Raise `InvalidParameter` for options that no question could satisfy."""
    if options.top_k > limits.max_top_k:
        raise InvalidParameter(
            f"top_k must be from 1 to {limits.max_top_k}.", param="parameters.top_k"
        )
    if options.max_tokens is not None and options.max_tokens > limits.max_tokens:
        raise InvalidParameter(
            f"max_seq_len must be from 1 to {limits.max_tokens}, which this model can read.",
            param="parameters.max_seq_len",
        )


def plan_answers(
    tokenizer: Tokenizer, questions: Sequence[Question], options: AnswerOptions, limits: Limits
) -> Plan[list[list[Found]]]:
    """One item per part of a context; the answer is question -> answers, best first."""
    prepared = [
        _prepare(tokenizer, question, options, limits, f"inputs[{index}]")
        for index, question in enumerate(questions)
    ]
    require_few([context.parts for context in prepared], limits.max_items)
    items = [_item(tokenizer, context, part) for context in prepared for part in context.parts]

    def finish(results: list[Result]) -> list[list[Found]]:
        logits = iter([result for result in results if not isinstance(result, MaskResult)])
        return [
            _answers(context, [next(logits) for _ in context.parts], options)
            for context in prepared
        ]

    return Plan(items, finish, tuple(context.truncated for context in prepared))


def _prepare(
    tokenizer: Tokenizer, asked: Question, options: AnswerOptions, limits: Limits, param: str
) -> _Context:
    """Tokenise, and decide in which parts the context is read."""
    most = options.max_question_tokens
    question = tokenizer.pieces(
        asked.question, limits.max_tokens, truncate=most is not None, param=f"{param}.question"
    )
    kept = question.ids[:most]
    context = tokenizer.located(asked.context, None, truncate=False, param=f"{param}.context")
    room = (options.max_tokens or min(USUAL_TOKENS, limits.max_tokens)) - SPECIAL_TOKENS - len(kept)
    if room < 1:
        raise TooLong(
            "The question leaves the context no room; shorten it, or set max_question_len.",
            param=f"{param}.question",
        )
    overlap = min(USUAL_OVERLAP, room // 2) if options.overlap is None else options.overlap
    if overlap >= room:
        raise InvalidParameter(
            f"doc_stride must be below the {room} tokens that the question leaves the context.",
            param="parameters.doc_stride",
        )
    parts = windows(len(context.ids), room, overlap)
    return _Context(asked.context, kept, context, parts, question.cut or kept != question.ids)


def _item(tokenizer: Tokenizer, context: _Context, part: Window) -> Item:
    start, end = part
    first = len(context.question) + 2
    rows = np.array([0, *range(first, first + end - start)])  # [CLS] and the context
    encoding = tokenizer.assemble(context.question, context.pieces.ids[start:end])
    return Item(encoding, TokenWant("qa", rows))


def _answers(context: _Context, logits: Sequence[Float32], options: AnswerOptions) -> list[Found]:
    """The best answers of all parts; `logits` are float32 (1 + tokens, 2) for each of them."""
    best: dict[str, Found] = {}
    nothing = 1.0
    for part, scores in zip(context.parts, logits, strict=True):
        probabilities = softmax(scores.T)  # (2, 1 + tokens): of starts, of ends
        nothing = min(nothing, float(probabilities[:, 0].prod()))
        for found in _in_part(context, part, probabilities[:, 1:], options):
            key = found.answer.lower()
            best[key] = max(best.get(key, found), found)
    answers = list(best.values())
    if options.may_be_unanswerable:
        answers.append(Found(nothing, 0, 0, ""))
    return sorted(answers, key=lambda found: -found.score)[: options.top_k]


def _in_part(
    context: _Context, part: Window, probabilities: Float64, options: AnswerOptions
) -> list[Found]:
    """The best answers of one part; `probabilities` are float64 (2, tokens), of starts and ends."""
    # Several spans may come to the same words.
    count = 2 * options.top_k + 10 if options.whole_words else options.top_k
    found: dict[str, Found] = {}
    starts, ends = probabilities
    for span in best_spans(starts, ends, options.max_answer_tokens, count):
        first, last = part[0] + span.first, part[0] + span.last
        if options.whole_words:
            first, last = _whole_words(context.pieces.words, first, last)
        start, end = context.pieces.spans[first][0], context.pieces.spans[last][1]
        answer = context.text[start:end]
        earlier = found.get(answer.lower(), Found(0.0, start, end, answer))
        found[answer.lower()] = earlier._replace(score=earlier.score + span.score)
    return list(found.values())


def _whole_words(words: Sequence[int], first: int, last: int) -> tuple[int, int]:
    """Widens a span of pieces to the words that it touches.

    >>> _whole_words([0, 0, 1, 2, 2, 2], 1, 3)
    (0, 5)
    """
    while first > 0 and words[first - 1] == words[first]:
        first -= 1
    while last + 1 < len(words) and words[last + 1] == words[last]:
        last += 1
    return first, last
