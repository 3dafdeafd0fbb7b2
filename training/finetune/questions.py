"""Questions with a context in, the task of marking the answer's first and last token out.

A context that is too long becomes several inputs that overlap, as in the paper's code for SQuAD.
An input's rows are [CLS], which stands for "not here", and its tokens of the context; targets count
among those rows. Windows of one context are compared by probabilities, not by logits: a window
without the answer gives its probability to [CLS], so its spans cannot win by being sure of
themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from models.heads import QA
from models.probabilities import softmax
from models.spans import best_spans
from training.errors import TrainingError
from training.finetune.data import Answer, QuestionExample
from training.finetune.inputs import Input, InputBatch, WordPieces
from training.finetune.measures import answer_scores
from training.finetune.task import Float32, Measures, Split, Task

QUESTION_TOKENS = 64  # longer questions are cut, as in the paper's code
NOT_HERE = (0, 0)
LONGEST = 30  # tokens of an answer, as in the paper's code


def prepare_questions(
    train: Sequence[QuestionExample],
    dev: Sequence[QuestionExample] | None,
    pieces: WordPieces,
    *,
    overlap: int,
) -> Task:
    """A question may have no answer only where `train` has one that has none."""
    abstain = any(not example.answers for example in train)
    split = partial(_split, pieces=pieces, overlap=overlap, abstain=abstain)
    return Task(QA, span_loss, "f1", (), split(train), split(dev) if dev else None)


def span_loss(logits: Tensor, batch: InputBatch) -> Tensor:
    """Cross-entropy of start and end, each over the rows of one input: float (rows, 2) -> float ().

    `batch.targets` are (start, end) of each input, one after the other.
    """
    by_input = list(torch.split(logits.float(), batch.counts.tolist()))
    padded = pad_sequence(by_input, batch_first=True, padding_value=-torch.inf)  # (B, rows, 2)
    return functional.cross_entropy(padded, batch.targets.view(-1, 2))


def windows(tokens: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of at most `room` tokens that cover all of them; neighbours share `overlap` of them.

    They share no more than half of the room.

    >>> windows(10, room=6, overlap=3)
    [(0, 6), (3, 9), (6, 10)]
    """
    step = room - min(overlap, room // 2)
    spans = [(0, min(room, tokens))]
    while spans[-1][1] < tokens:
        begin = spans[-1][0] + step
        spans.append((begin, min(begin + room, tokens)))
    return spans


def locate(offsets: Sequence[tuple[int, int]], answer: Answer) -> tuple[int, int] | None:
    """The first and the last token that share a character with the answer, if any does.

    >>> locate([(0, 3), (4, 9), (9, 10)], Answer("seine", 4))
    (1, 1)
    """
    end = answer.start + len(answer.text)
    shared = [i for i, (a, b) in enumerate(offsets) if a < end and b > answer.start]
    return (shared[0], shared[-1]) if shared else None


@dataclass(frozen=True)
class Window:
    """A part of a context."""

    example: int
    offsets: tuple[tuple[int, int], ...]  # of each token, its first character and its end


def _split(
    examples: Sequence[QuestionExample], *, pieces: WordPieces, overlap: int, abstain: bool
) -> Split:
    found = question_inputs(examples, pieces, overlap=overlap)
    score = partial(_score, examples, found.places, abstain)
    return Split(len(examples), found.inputs, score, found.lengths)


@dataclass(frozen=True)
class Windows:
    """The inputs of some questions."""

    inputs: Sequence[Input]
    places: Sequence[Window]  # of each input
    lengths: Sequence[int]  # tokens of each example as it is, in one window or more


def question_inputs(
    examples: Sequence[QuestionExample], pieces: WordPieces, *, overlap: int
) -> Windows:
    """Every window of every context, with its question."""
    inputs: list[Input] = []
    places: list[Window] = []
    lengths = []
    longest = min(QUESTION_TOKENS, (pieces.max_tokens - 3) // 2)
    questions = pieces.of([example.question for example in examples])
    contexts = pieces.of([example.context for example in examples])
    for number, example in enumerate(examples):
        question, context = next(questions).ids[:longest], next(contexts)
        if not len(context):
            raise TrainingError(f"{example.place}: the tokenizer keeps nothing of its context.")
        answer = locate(context.offsets, example.answers[0]) if example.answers else None
        before = len(question) + 2  # [CLS] question [SEP]
        lengths.append(before + len(context) + 1)
        for begin, end in windows(len(context), pieces.max_tokens - before - 1, overlap):
            rows = [0, *range(before, before + end - begin)]
            target = _target(answer, begin, end)
            inputs.append(pieces.input(question, context.ids[begin:end], rows=rows, targets=target))
            places.append(Window(number, tuple(context.offsets[begin:end])))
    return Windows(inputs, places, lengths)


def _target(answer: tuple[int, int] | None, begin: int, end: int) -> tuple[int, int]:
    """The rows of an answer, its first and last token, in the window [begin, end)."""
    if answer is None or answer[0] < begin or answer[1] >= end:
        return NOT_HERE
    return 1 + answer[0] - begin, 1 + answer[1] - begin


def _score(
    examples: Sequence[QuestionExample],
    places: Sequence[Window],
    abstain: bool,
    logits: Sequence[Float32],
) -> Measures:
    """Float32 (1 + tokens, 2) of each window -> measures."""
    found = choose([example.context for example in examples], places, logits, abstain=abstain)
    scores = [
        answer_scores([answer.text for answer in example.answers], one.text, abstain=abstain)
        for example, one in zip(examples, found, strict=True)
    ]
    exact, f1 = np.mean(scores, axis=0).tolist()
    return {"exact_match": exact, "f1": f1}


class Found(NamedTuple):
    """An answer, and how likely it is to start and end there."""

    text: str
    score: float


def choose(
    contexts: Sequence[str], places: Sequence[Window], logits: Sequence[Float32], *, abstain: bool
) -> list[Found]:
    """The answer to each question; "" where that is likelier and `abstain` allows it.

    Args:
        contexts: the context of each example.
        places: the windows of all examples.
        logits: float32 (1 + tokens, 2) of each window: row 0 is [CLS], columns are start and end.
        abstain: whether a question may have no answer.
    """
    best = [Found("", 0.0)] * len(contexts)
    nothing = np.ones(len(contexts))  # how likely it is that all windows lack the answer
    for place, values in zip(places, logits, strict=True):
        found, not_here = best_answer(contexts[place.example], place, values)
        best[place.example] = max(best[place.example], found, key=lambda found: found.score)
        nothing[place.example] = min(nothing[place.example], not_here)
    return [
        Found("", not_here) if abstain and not_here > found.score else found
        for found, not_here in zip(best, nothing, strict=True)
    ]


def best_answer(context: str, place: Window, logits: Float32) -> tuple[Found, float]:
    """The likeliest answer of a window, of at most `LONGEST` tokens, and P(it is not here).

    >>> window = Window(0, ((0, 2), (3, 5), (6, 9)))
    >>> logits = np.array([[0, 0], [1, 9], [8, 1], [2, 7]], np.float32)
    >>> best_answer("ab cd efg", window, logits)[0].text
    'cd efg'
    """
    starts, ends = softmax(logits.T)  # float64 (1 + tokens,) each
    (span,) = best_spans(starts[1:], ends[1:], longest=LONGEST, count=1)
    text = context[place.offsets[span.first][0] : place.offsets[span.last][1]]
    return Found(text, span.score), float(starts[0] * ends[0])
