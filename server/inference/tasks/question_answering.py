"""Questions with a context in, the passages of it that answer them out.

The model reads `[CLS] question [SEP] context [SEP]` and scores each token of the context as the
answer's first and as its last one; that [CLS] is both means that there is no answer. A context that
is too long is read in overlapping parts, each with the question. As in transformers, a part's
scores are probabilities over its own tokens and [CLS], and spans of word pieces stand for the whole
words that they touch: the same words reached from several spans add up.

The same words from several parts count once, with the best of their scores: transformers adds them
up here as well, which lets a score pass 1 and favours what lies where parts overlap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from models.heads import QA
from models.probabilities import Float64, softmax
from models.spans import best_spans
from server.errors import InvalidParameter, TooLong
from server.inference.runtime.packing import Float32, Item, Results, TokenLogits, results_as
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    CHARACTERS_PER_TOKEN,
    Plan,
    Price,
    Proceed,
    ServedModel,
    Task,
    pieces_allowed,
    read_each,
)
from server.inference.tasks.windows import Window, count_tokens, count_windows, require_few, windows
from server.inference.tokenizer import Located, Tokenizer

USUAL_TOKENS: Final = 384  # of question and part together, as most models were trained with
USUAL_OVERLAP: Final = 128  # tokens
USUAL_ANSWER: Final = 15  # tokens
_FOUND_BYTES: Final = 512  # of one answer of one part, while the best are looked for


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
    """One tokenised question with its context, and how that falls into parts."""

    text: str
    question: list[int]
    pieces: Located
    room: int
    """Tokens of a part."""
    overlap: int
    around: int
    """Special tokens of question and part together."""
    truncated: bool

    @property
    def count(self) -> int:
        """Parts."""
        return count_windows(len(self.pieces.ids), self.room, self.overlap)

    @property
    def parts(self) -> list[Window]:
        """The parts themselves."""
        return windows(len(self.pieces.ids), self.room, self.overlap)


FoundByQuestion = list[list[Found]]
"""Passages of each question, the likeliest first."""


class QuestionAnswering(Task[Question, AnswerOptions, FoundByQuestion]):
    """The passages that answer each question, best first."""

    name = "question-answering"
    title = QA.title
    head = QA

    def check(self, inputs: Sequence[Question], options: AnswerOptions, model: ServedModel) -> None:
        """Refuse options that no question could satisfy."""
        if options.top_k > model.limits.max_top_k:
            raise InvalidParameter(
                f"top_k must be from 1 to {model.limits.max_top_k}.", param="parameters.top_k"
            )
        most = model.manifest.max_tokens
        if options.max_tokens is not None and options.max_tokens > most:
            raise InvalidParameter(
                f"max_seq_len must be from 1 to {most}, which this model can read.",
                param="parameters.max_seq_len",
            )

    def price(
        self, inputs: Sequence[Question], options: AnswerOptions, model: ServedModel
    ) -> Price:
        """Every token of each context, with some of its question."""
        lengths = [len(asked.question) + len(asked.context) for asked in inputs]
        usual = options.max_answer_tokens * CHARACTERS_PER_TOKEN
        return Price.estimate(lengths, sum(lengths), _answer_bytes(len(inputs), options, usual))

    def plan(
        self,
        inputs: Sequence[Question],
        options: AnswerOptions,
        model: ServedModel,
        proceed: Proceed,
    ) -> Plan[FoundByQuestion]:
        """One item per part of a context; the answer is question -> answers, best first."""
        read = partial(_read, options, model, pieces_allowed(model, proceed))
        contexts, price = read_each(inputs, read, _price, model, proceed)
        counts = [context.count for context in contexts]
        require_few(counts, model.limits.max_inputs)

        def items() -> list[Item]:
            tokenizer = model.tokenizer
            return [_item(tokenizer, one, part) for one in contexts for part in one.parts]

        def answer(results: Results) -> FoundByQuestion:
            logits = iter(results_as(np.ndarray, results))
            return [
                _answers(context, [next(logits) for _ in context.parts], options)
                for context in contexts
            ]

        truncated = tuple([context.truncated for context in contexts])
        longest = max([_longest_answer(context.pieces, options) for context in contexts])
        price = price._replace(answer_bytes=_answer_bytes(sum(counts), options, longest))
        return Plan(price, items, answer, truncated)

    def sample(self) -> TokenLogits:
        """The logits of two tokens."""
        return TokenLogits(QA, np.arange(2))


def _answer_bytes(parts: int, options: AnswerOptions, longest: int) -> int:
    """Memory of the answers of all parts; the longest has so many characters."""
    return parts * _spans(options) * (_FOUND_BYTES + longest * CHARACTER_BYTES)


def _longest_answer(pieces: Located, options: AnswerOptions) -> int:
    """Characters of the longest passage of as many tokens as an answer may have."""
    starts, ends = np.array(pieces.spans).T
    words = np.array(pieces.words)
    if options.whole_words:  # as far as the words that a span touches
        starts = starts[np.searchsorted(words, words)]
        ends = ends[np.searchsorted(words, words, "right") - 1]
    more = min(options.max_answer_tokens, len(words)) - 1
    return int((ends[more:] - starts[: len(starts) - more]).max())


def _spans(options: AnswerOptions) -> int:
    """How many of a part's spans are looked at: more than wanted, as several may be one answer."""
    return 2 * options.top_k + 10 if options.whole_words else options.top_k


def _read(
    options: AnswerOptions,
    model: ServedModel,
    so_far: Callable[[int], None],
    asked: Question,
    param: str,
) -> _Context:
    """Tokenise, and decide in which parts the context is read."""
    tokenizer, readable = model.tokenizer, model.manifest.max_tokens
    most = options.max_question_tokens
    question = tokenizer.pieces(
        asked.question, readable, truncate=most is not None, param=f"{param}.question"
    )
    kept, around = question.ids[:most], tokenizer.spec.pair_specials
    context = tokenizer.located(
        asked.context, None, truncate=False, param=f"{param}.context", so_far=so_far
    )
    room = (options.max_tokens or min(USUAL_TOKENS, readable)) - around - len(kept)
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
    truncated = question.cut or kept != question.ids
    return _Context(asked.context, kept, context, room, overlap, around, truncated)


def _price(context: _Context) -> Price:
    around = len(context.question) + context.around
    return Price(0, count_tokens(len(context.pieces.ids), context.room, context.overlap, around), 0)


def _item(tokenizer: Tokenizer, context: _Context, part: Window) -> Item:
    start, end = part
    first = len(context.question) + context.around - 1  # all but the last stand before it
    rows = np.array([0, *range(first, first + end - start)])  # the first token and the context
    encoding = tokenizer.assemble(context.question, context.pieces.ids[start:end])
    return Item(encoding, TokenLogits(QA, rows))


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
    found: dict[str, Found] = {}
    starts, ends = probabilities
    for span in best_spans(starts, ends, options.max_answer_tokens, _spans(options)):
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


QUESTION_ANSWERING: Final = QuestionAnswering()
