"""A model's answers and the right ones in, what there is to say of them out: an `Outcome`.

The measures are those that fine-tuning reports (`training.finetune.measures`), as functions of how
often each example is drawn, so that the same lines give a value, its interval, and its difference
from another model's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.tags import OUTSIDE, are_tags, to_iob2
from training.evaluate.figures import Style
from training.evaluate.labelled.material import Material, kind_of
from training.evaluate.labelled.task_model import Float64, Found, TaskModel
from training.evaluate.labelled.thresholds import Thresholds, held_out_decisions
from training.evaluate.labelled.weighted import (
    Counts,
    Int64,
    Mean,
    Pearson,
    Spearman,
    Weighted,
)
from training.finetune.labelling import Problem
from training.finetune.measures import answer_scores, entities, has_entities

Bool = NDArray[np.bool_]
Tags = Sequence[str | None]


@dataclass(frozen=True, eq=False)
class Measure:
    """One thing that is measured."""

    key: str  # stable, for programs; the same as in a fine-tuning's report
    name: str  # for people
    values: Weighted  # -> float64 (R,)
    count: int  # how many things it is over
    of: str  # what these are
    style: Style = "share"
    hits: Bool | None = None  # (count,): of a share of rows, whether each of them counts


@dataclass(frozen=True, eq=False)
class ByClass:
    """What is counted for each class, label or kind of entity."""

    what: str  # "label", "entity"
    names: tuple[str, ...]
    counts: Counts
    of: str  # "rows"


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each right label (a line) was answered by each label (a column)."""

    names: tuple[str, ...]
    counts: Int64  # (K, K)
    of: str  # "rows", "words"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model made of some material."""

    measures: tuple[Measure, ...]
    right: Sequence[Any]  # of each example, as it is written into a file of predictions
    found: Sequence[Any]
    correct: Bool | None  # (N,): whether all of an answer is right; None for numbers
    scores: Sequence[Any] | None = None
    by_class: ByClass | None = None
    confusion: Confusion | None = None
    thresholds: Thresholds | None = None


def judge(model: TaskModel, material: Material, thresholds: Mapping[str, float]) -> Outcome:
    """Let a model answer all examples, and measure.

    `thresholds` are of labels of which any number may apply; 0.5 is that of others.
    """
    kind, problem, labels = model.about.kind, model.about.problem, model.about.labels
    examples = material.examples
    if kind == "question":
        abstain = any(not example.answers for example in examples)
        return _answers(examples, model.answers(examples, abstain=abstain), abstain=abstain)
    if kind == "token":
        right = [example.labels for example in examples]
        return _words(right, model.tags(examples), labels)
    scores = model.scores(examples)
    if problem is Problem.NUMBER:
        return _numbers(np.array([example.label for example in examples]), scores[:, 0], labels[0])
    if problem is Problem.SEVERAL:
        applies = np.array([[name in one.label for name in labels] for one in examples])
        limits = Thresholds.of(labels, applies, scores, thresholds)
        return _several(applies, scores, limits, material.documents)
    numbers = np.array([labels.index(example.label) for example in examples], np.int64)
    return _classes(numbers, scores, labels)


def _classes(right: Int64, scores: Float64, labels: Sequence[str]) -> Outcome:
    """One label of several: int64 (N,), float64 (N, K)."""
    found = scores.argmax(axis=1)
    rows, size = len(right), len(labels)
    counts = Counts.of_labels(np.arange(rows), right, found, examples=rows, classes=size)
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (right, found), 1)
    return Outcome(
        (
            _share("accuracy", "accuracy", right == found),
            Measure("macro_f1", "F1, mean over labels", counts.macro_f1, rows, "rows"),
        ),
        [labels[index] for index in right],
        [labels[index] for index in found],
        right == found,
        _named(scores, labels),
        ByClass("label", tuple(labels), counts, "rows"),
        Confusion(tuple(labels), confusion, "rows"),
    )


def _several(applies: Bool, scores: Float64, thresholds: Thresholds, documents: Int64) -> Outcome:
    """Any number of labels: bool (N, K), float64 (N, K)."""
    labels, rows = thresholds.labels, len(applies)
    found = scores >= np.array([thresholds.used[name] for name in labels])
    counts = _of_each(applies, found)
    correct = (applies == found).all(axis=1)
    tuned = _of_each(applies, held_out_decisions(applies, scores, documents))
    name = "F1 over labels, each with its best threshold"
    return Outcome(
        (
            Measure("micro_f1", "F1 over all labels", counts.micro_f1, rows, "rows"),
            Measure("macro_f1", "F1, mean over labels", counts.macro_f1, rows, "rows"),
            _share("exact_match", "rows with all labels right", correct),
            Measure("micro_f1_best_thresholds", name, tuned.micro_f1, rows, "rows"),
        ),
        _chosen(applies, labels),
        _chosen(found, labels),
        correct,
        _named(scores, labels),
        ByClass("label", tuple(labels), counts, "rows"),
        thresholds=thresholds,
    )


def _numbers(right: Float64, found: Float64, name: str) -> Outcome:
    """A number: float64 (N,) each."""
    error = Mean((right - found) ** 2, np.ones(len(right)))

    def root(weights: Float64) -> Float64:
        roots: Float64 = np.sqrt(error(weights))
        return roots

    of = "rows"
    return Outcome(
        (
            Measure("spearman", f"{name}, Spearman's correlation", Spearman(right, found),
                    len(right), of, "number"),
            Measure("pearson", f"{name}, Pearson's correlation", Pearson(right, found),
                    len(right), of, "number"),
            Measure("rmse", f"{name}, root of the mean squared error", root,
                    len(right), of, "number"),
        ),
        right.tolist(),
        found.tolist(),
        None,
    )  # fmt: skip


def _words(right: Sequence[Sequence[str]], found: Sequence[Tags], labels: Sequence[str]) -> Outcome:
    """A label per word."""
    tagged = are_tags(set(labels))
    said: Sequence[Tags] = found
    if tagged:
        named = [[tag or OUTSIDE for tag in tags] for tags in found]
        said = named if _is_iob2(labels) else [to_iob2(tags) for tags in named]
    hits = [[a == b for a, b in zip(*pair, strict=True)] for pair in zip(right, said, strict=True)]
    words = np.array([len(tags) for tags in right], np.float64)
    accuracy = Mean(np.array([sum(one) for one in hits], np.float64), words)
    count, correct = int(words.sum()), np.array([all(one) for one in hits])
    kinds = sorted({kind_of(label) for label in labels} - {OUTSIDE}) if tagged else []
    names = (OUTSIDE, *kinds) if tagged else tuple(labels)
    each = _of_words(right, said, sorted({tag for tags in (*right, *said) for tag in tags if tag}))
    measures = [
        Measure("accuracy", "accuracy", accuracy, count, "words"),
        Measure("macro_f1", "F1, mean over labels", each.macro_f1, count, "words"),
    ]
    if not tagged:
        by_class = ByClass("label", names, _of_words(right, said, names), "words")
    else:
        by_class = ByClass("entity", tuple(kinds), _of_entities(right, said, kinds), "entities")
        total = int(by_class.counts.right.sum())
        measures += [
            Measure(f"entity_{key}", f"entities, {name}", values, total, "entities")
            for key, name, values in (
                ("precision", "precision", by_class.counts.micro_precision),
                ("recall", "recall", by_class.counts.micro_recall),
                ("f1", "F1", by_class.counts.micro_f1),
            )
        ]
    return Outcome(
        tuple(measures), [list(tags) for tags in right], said, correct,
        by_class=by_class, confusion=_confusion_of_words(right, said, names, tagged=tagged),
    )  # fmt: skip


def _answers(examples: Sequence[Any], found: Sequence[Found], *, abstain: bool) -> Outcome:
    """Answers of questions; with `abstain` as SQuAD 2.0 measures them, else as 1.1."""
    right = [[answer.text for answer in example.answers] for example in examples]
    scores = [
        answer_scores(texts, one.text, abstain=abstain)
        for texts, one in zip(right, found, strict=True)
    ]
    exact, f1 = np.array(scores, np.float64).T
    every = np.ones(len(right))
    measures = [
        _share("exact_match", "exact match", exact == 1, "questions"),
        Measure("f1", "F1 of words", Mean(f1, every), len(right), "questions"),
    ]
    if abstain:
        answered = np.array([bool(texts) for texts in right], np.float64)
        for key, name, part in (("answered", "with an answer", answered),
                                ("unanswered", "without an answer", 1 - answered)):  # fmt: skip
            if part.any():
                mean = Mean(f1 * part, part)
                count = int(part.sum())
                measures.append(Measure(f"f1_{key}", f"F1, {name}", mean, count, "questions"))
    return Outcome(
        tuple(measures), right, [one.text for one in found], exact == 1,
        [round(one.score, 6) for one in found],
    )  # fmt: skip


def _share(key: str, name: str, hits: Bool, of: str = "rows") -> Measure:
    """A share of rows."""
    mean = Mean(hits.astype(np.float64), np.ones(len(hits)))
    return Measure(key, name, mean, len(hits), of, hits=hits)


def _of_each(applies: Bool, found: Bool) -> Counts:
    """Of bool (N, K): a label that applies and is found agrees."""
    places = [
        [(int(row), int(label)) for row, label in np.argwhere(chosen)]
        for chosen in (applies & found, applies, found)
    ]
    return Counts.of(*places, examples=len(applies), classes=applies.shape[1])


def _of_words(
    right: Sequence[Sequence[str]], found: Sequence[Tags], names: Sequence[str]
) -> Counts:
    """Of each label how many words have it."""
    numbers = {name: number for number, name in enumerate(names)}
    places = np.repeat(np.arange(len(right)), [len(tags) for tags in right])
    ours, theirs = (
        np.array([numbers.get(tag or "", -1) for tags in side for tag in tags], np.int64)
        for side in (right, found)
    )
    return Counts.of_labels(places, ours, theirs, examples=len(right), classes=len(names))


def _of_entities(
    right: Sequence[Sequence[str]], found: Sequence[Tags], kinds: Sequence[str]
) -> Counts:
    """Of each kind how many entities there are; they agree where kind and both ends do."""
    numbers = {kind: number for number, kind in enumerate(kinds)}
    agreed: list[tuple[int, int]] = []
    sides: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for place, (ours, theirs) in enumerate(zip(right, found, strict=True)):
        pair = entities(ours), entities([tag or OUTSIDE for tag in theirs])
        for side, own in zip(sides, pair, strict=True):
            side += [(place, numbers[kind]) for kind, _, _ in own]
        agreed += [(place, numbers[kind]) for kind, _, _ in pair[0] & pair[1]]
    return Counts.of(agreed, *sides, examples=len(right), classes=len(kinds))


def _is_iob2(labels: Sequence[str]) -> bool:
    """Whether each kind has a tag to begin with, and no tag is of another scheme.

    >>> _is_iob2(["O", "B-A", "I-A"]), _is_iob2(["O", "I-A"]), _is_iob2(["B-A", "L-A"])
    (True, False, False)
    """
    kinds = {kind_of(label) for label in labels if label != OUTSIDE}
    return has_entities(labels) and all(f"B-{kind}" in labels for kind in kinds)


def _confusion_of_words(
    right: Sequence[Sequence[str]], found: Sequence[Tags], names: Sequence[str], *, tagged: bool
) -> Confusion:
    """Of words by label, of tags by kind; a word that has no answer is counted nowhere."""
    numbers = {name: number for number, name in enumerate(names)}
    plain: Callable[[str], str] = kind_of if tagged else partial(str)
    counts = np.zeros((len(names), len(names)), np.int64)
    for ours, theirs in zip(right, found, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            if other is not None:
                counts[numbers[plain(one)], numbers[plain(other)]] += 1
    return Confusion(tuple(names), counts, "words")


def _named(scores: Float64, labels: Sequence[str]) -> list[dict[str, float]]:
    return [
        {name: round(score, 6) for name, score in zip(labels, row, strict=True)}
        for row in scores.tolist()
    ]


def _chosen(applies: Bool, labels: Sequence[str]) -> list[list[str]]:
    return [[name for name, yes in zip(labels, row, strict=True) if yes] for row in applies]
