"""Lines of JSON in, examples out; knows nothing of tokens or of models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from training.errors import TrainingError
from training.json_lines import Record, is_text


@dataclass(frozen=True)
class SequenceExample:
    """A text, or a pair of texts, and its label."""

    text: str
    text_pair: str | None
    label: str
    place: str  # "train.jsonl, line 7"

    @classmethod
    def of(cls, record: Record) -> Self:
        """A line `{"text", "text_pair"?, "label"}`."""
        paired = record.fields.get("text_pair") is not None
        pair = record.text("text_pair") if paired else None
        return cls(record.text("text"), pair, _label(record), record.place)


@dataclass(frozen=True)
class TokenExample:
    """The words of a sentence with a label each."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    place: str

    @classmethod
    def of(cls, record: Record) -> Self:
        """A line `{"tokens": [..], "labels": [..]}`."""
        words, labels = record.list("tokens"), record.list("labels")
        if not words or not all(is_text(word) for word in words):
            raise record.error("tokens must be texts that are not blank, at least one")
        if not all(_is_label(label) for label in labels):
            raise record.error("labels must be texts or whole numbers")
        if len(words) != len(labels):
            raise record.error(f"it has {len(words)} tokens and {len(labels)} labels")
        return cls(tuple(words), tuple(map(str, labels)), record.place)


@dataclass(frozen=True)
class Answer:
    """A span of a context: its text and the character at which it starts."""

    text: str
    start: int


@dataclass(frozen=True)
class QuestionExample:
    """A question, the text to look in, and every answer that counts; none: it has no answer."""

    question: str
    context: str
    answers: tuple[Answer, ...]
    place: str

    @classmethod
    def of(cls, record: Record) -> Self:
        """A line `{"question", "context", "answers": [{"text", "answer_start"}]}`, as in SQuAD."""
        context = record.text("context")
        answers = tuple(_answer(record, context, entry) for entry in record.list("answers"))
        return cls(record.text("question"), context, answers, record.place)


def number_labels(found: Iterable[str]) -> tuple[str, ...]:
    """The labels that occur in the training data, in the order of their text; at least two.

    >>> number_labels(["O", "B-PER", "O"])
    ('B-PER', 'O')
    """
    labels = tuple(sorted(set(found)))
    if len(labels) < 2:
        raise TrainingError("The training data has one label only; there is nothing to tell apart.")
    return labels


def label_ids(labels: Sequence[str], found: Sequence[str], place: str) -> list[int]:
    """The number of each label; one that the training data lacks is refused.

    >>> label_ids(("B-PER", "O"), ["O", "O", "B-PER"], "dev.jsonl, line 1")
    [1, 1, 0]
    """
    try:
        return [labels.index(label) for label in found]
    except ValueError:
        raise TrainingError(f"{place}: a label that the training data does not have.") from None


def _answer(record: Record, context: str, entry: object) -> Answer:
    if not isinstance(entry, dict):
        raise record.error("answers must be objects with text and answer_start")
    text, start = entry.get("text"), entry.get("answer_start")
    if not is_text(text) or isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise record.error("an answer needs a text that is not blank and an answer_start")
    if context[start : start + len(str(text))] != text:
        raise record.error(f"the context has another text at answer_start {start}")
    return Answer(str(text), start)


def _is_label(value: object) -> bool:
    """Whether it is a text, or a whole number as data sets often have it."""
    return is_text(value) or (isinstance(value, int) and not isinstance(value, bool))


def _label(record: Record) -> str:
    value = record.fields.get("label")
    if not _is_label(value):
        raise record.error("label must be a text or a whole number")
    return str(value)
