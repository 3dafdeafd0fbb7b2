"""Records in, examples of one of three tasks out; knows nothing of tokens or of models.

Labels are as the file has them: `training.finetune.labelling` makes of them what is learnt.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from training.data.columns import JOINED, Role
from training.data.record import Record, is_text, names_of, spelled_list
from training.errors import TrainingError

Label = str | int | float | tuple[str, ...]
"""A class, a number, or all the labels that apply."""

_LABELS = (
    *("label", "labels", "class", "category", "target", "sentiment", "intent", "topic", "stars"),
    *("rating", "score", "similarity_score", "gold_label", "y"),
)
# The surest first, as in GLUE's tasks; "question" comes before "sentence" as in QNLI.
_SECOND_TEXTS = {
    "text": ("text_pair", "text2"),
    "sentence1": ("sentence2",),
    "text1": ("text2",),
    "text_a": ("text_b",),
    "premise": ("hypothesis",),
    "question1": ("question2",),
    "query": ("passage", "document", "text"),
    "question": ("sentence", "passage", "context"),
    "anchor": ("positive",),
}
_TEXTS = (
    *_SECOND_TEXTS, "sentence", "review", "content", "comment", "comment_text", "body", "tweet",
    "utterance", "document", "message", "headline", "title",
)  # fmt: skip
_YES, _NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no", ""}


@dataclass(frozen=True)
class SequenceExample:
    """A text, or a pair of texts, and its label."""

    text: str
    text_pair: str | None
    label: Label
    place: str  # "train.jsonl, line 7"

    ROLES: ClassVar[tuple[Role, ...]] = (
        Role("text", "the text", _TEXTS),
        Role("text_pair", "the second text", (), needed=False, beside=_SECOND_TEXTS),
        Role("label", "the label", _LABELS, joined=True),
    )

    @classmethod
    def of(cls, record: Record) -> Self:
        """A row with a text, perhaps a second one, and a label."""
        pair = None if record.get("text_pair") is None else record.text("text_pair")
        return cls(record.text("text"), pair, _label(record), record.place)


@dataclass(frozen=True)
class TokenExample:
    """The words of a sentence with a label each."""

    words: tuple[str, ...]
    labels: tuple[str, ...]
    place: str

    ROLES: ClassVar[tuple[Role, ...]] = (
        Role("tokens", "the words", ("tokens", "words", "token", "word")),
        Role(
            "labels",
            "a label per word",
            ("labels", "ner_tags", "tags", "ner", "bio_tags", "pos_tags", "upos", "chunk_tags",
             "label", "tag"),
        ),
    )  # fmt: skip

    @classmethod
    def of(cls, record: Record) -> Self:
        """A row with a list of words and one of labels."""
        words, labels = record.list("tokens"), record.list("labels")
        if not words or not all(is_text(word) for word in words):
            called = record.called("tokens")
            raise record.error(f"{called} must be texts that are not blank, at least one")
        if not all(_is_label(label) for label in labels):
            raise record.error(f"{record.called('labels')} must be texts or whole numbers")
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

    ROLES: ClassVar[tuple[Role, ...]] = (
        Role("question", "the question", ("question", "query")),
        Role("context", "the text to look in", ("context", "passage", "paragraph", "text")),
        Role("answers", "the answers", ("answers", "answer", "answer_text")),
        Role("answer_start", "where the answer starts", ("answer_start",), needed=False),
    )

    @classmethod
    def of(cls, record: Record) -> Self:
        """A row with a question, a context and its answers, in any of the forms they come in."""
        context = record.text("context")
        answers = tuple(_answer(record, context, entry) for entry in _answer_entries(record))
        return cls(record.text("question"), context, answers, record.place)


Example = SequenceExample | TokenExample | QuestionExample


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
        raise TrainingError(
            f"{place}: a label that the training data does not have; it has "
            f"{names_of(list(labels))}."
        ) from None


def _answer_entries(record: Record) -> list[Any]:
    """The answers one by one: a list of objects, an object of lists, or one text."""
    value, start = record.get("answers"), record.get("answer_start")
    if isinstance(value, dict):  # as `datasets` has them
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise record.error(
                f"{record.called('answers')} must hold as many answer_start as text, two lists"
            )
        pairs = zip(texts, starts, strict=True)
        return [{"text": text, "answer_start": start} for text, start in pairs]
    if isinstance(value, str):
        if not record.typed and isinstance(start, str) and start.strip().isdecimal():
            start = int(start)
        return [value if start is None else {"text": value, "answer_start": start}]
    if value is None and not record.typed and record.called("answers") in record.fields:
        return []  # a cell that is empty: the context has no answer
    return record.list("answers")


def _answer(record: Record, context: str, entry: object) -> Answer:
    if is_text(entry):
        return _only_place(record, context, str(entry))
    if not isinstance(entry, dict):
        raise record.error("answers must be objects with text and answer_start, or texts")
    text, start = entry.get("text"), entry.get("answer_start")
    if not is_text(text) or isinstance(start, bool) or not isinstance(start, int) or start < 0:
        raise record.error("an answer needs a text that is not blank and an answer_start")
    if context[start : start + len(str(text))] != text:
        raise record.error(f"the context has another text at answer_start {start}")
    return Answer(str(text), start)


def _only_place(record: Record, context: str, text: str) -> Answer:
    """An answer without its place, where there is only one that it can mean."""
    start = context.find(text)
    if start < 0:
        raise record.error("its answer does not stand in the context, letter by letter")
    if context.find(text, start + 1) >= 0:
        raise record.error("its answer stands in the context more than once; add answer_start")
    return Answer(text, start)


def _is_label(value: object) -> bool:
    """Whether it is a text, or a whole number as data sets often have it."""
    return is_text(value) or (isinstance(value, int) and not isinstance(value, bool))


def _label(record: Record) -> Label:
    """A text, a number, yes or no, or a list of texts."""
    called = record.called("label")
    if called not in record.fields and JOINED in called:
        return _joined(record, called.split(JOINED))
    value = record.get("label")
    expected = "a text, a number, true or false, or a list of texts"
    if value is None:
        raise record.missing("label", expected)
    if isinstance(value, str) and not record.typed:
        listed = spelled_list(value)
        value = _number(value) if listed is None else listed
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        if not all(_is_label(entry) for entry in value):
            raise record.error(f"{called} must be a list of texts or whole numbers")
        return tuple(map(str, value))
    if is_text(value) or (isinstance(value, int | float) and math.isfinite(value)):
        return value  # type: ignore[no-any-return]
    raise record.error(f"{called} must be {expected}")


def _number(text: str) -> str | float:
    """A number that is not whole; any other cell of a file of texts stays the text that it is.

    >>> _number("3.8"), _number("3"), _number("1e400"), _number("good")
    (3.8, '3', '1e400', 'good')
    """
    try:
        value = float(text)
    except ValueError:
        return text
    return text if text.strip().lstrip("+-").isdecimal() or value - value else value


def _joined(record: Record, columns: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns that say yes."""
    chosen = []
    for column in columns:
        value = record.fields.get(column)
        said = "" if value is None else str(value).strip().lower()
        if said not in _YES | _NO:
            raise record.error(f"{column} must be 0 or 1, true or false, to be one of several")
        if said in _YES:
            chosen.append(column)
    return tuple(chosen)
