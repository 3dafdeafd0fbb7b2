"""What is measured: as fine-tuning measures it, as seqeval and SQuAD's scripts do, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.training.evaluate.labelled.fixed_model import Fixed, texts
from training.evaluate.labelled.comparison import value_of
from training.evaluate.labelled.material import Material
from training.evaluate.labelled.outcome import Outcome, judge
from training.evaluate.labelled.task_model import TaskModel
from training.finetune.data import Answer, QuestionExample, TokenExample
from training.finetune.labelling import Problem
from training.finetune.measures import (
    entity_measures,
    label_measures,
    labels_measures,
    number_measures,
)

KINDS = ("PER", "LOC", "MISC")
TAGS = ("O", *(f"{letter}-{kind}" for kind in KINDS for letter in "BI"))


def measured(model: TaskModel, examples: Sequence[Any], **thresholds: float) -> Outcome:
    material = Material("test.csv", examples, np.arange(len(examples)), "rows", {})
    return judge(model, material, thresholds)


def values(outcome: Outcome) -> dict[str, float]:
    return {one.key: value_of(one, len(outcome.right)) for one in outcome.measures}


def sentences(tags: Sequence[Sequence[str]]) -> list[TokenExample]:
    return [TokenExample(("word",) * len(one), tuple(one), "line") for one in tags]


def test_classes_are_measured_as_while_fine_tuning() -> None:
    rng = np.random.default_rng(1)
    scores, right = rng.random((29, 4)), rng.integers(0, 3, 29)
    model = Fixed("sequence", "abcd", Problem.CLASSES, scores)
    outcome = measured(model, texts(["abcd"[index] for index in right]))
    found = scores.argmax(axis=1)
    assert values(outcome) == pytest.approx(label_measures(right, found))
    assert outcome.confusion is not None
    assert outcome.confusion.counts[right[0], found[0]] > 0
    assert outcome.confusion.counts.sum() == 29
    assert np.trace(outcome.confusion.counts) == (right == found).sum()
    assert outcome.scores is not None
    assert list(outcome.scores[0]) == list("abcd")


def test_several_labels_are_measured_as_while_fine_tuning_and_by_their_thresholds() -> None:
    rng = np.random.default_rng(2)
    scores, right = rng.random((41, 3)), rng.random((41, 3)) < 0.4
    chosen = [tuple(name for name, yes in zip("abc", row, strict=True) if yes) for row in right]
    model = Fixed("sequence", "abc", Problem.SEVERAL, scores)
    for thresholds in ({}, {"a": 0.2, "c": 0.9}):
        limits = np.array([thresholds.get(name, 0.5) for name in "abc"])
        outcome = measured(model, texts(chosen), **thresholds)
        found = values(outcome)
        tuned = found.pop("micro_f1_best_thresholds")
        assert 0 < tuned <= 1
        assert found == pytest.approx(
            labels_measures(right.astype(np.int64), (scores >= limits).astype(np.int64))
        )
        assert outcome.right[0] == list(chosen[0])


def test_numbers_are_measured_as_while_fine_tuning() -> None:
    rng = np.random.default_rng(3)
    right = rng.normal(size=37)
    found = right + rng.normal(size=37)
    model = Fixed("sequence", ["stars"], Problem.NUMBER, found[:, None])
    outcome = measured(model, texts(right.tolist()))
    assert values(outcome) == pytest.approx(number_measures(right, found))
    assert outcome.correct is None


def random_tags(seed: int) -> list[list[list[str]]]:
    """Right and found tags of 40 sentences; the latter in any order, also I- without B-."""
    rng = np.random.default_rng(seed)
    right = [rng.choice(TAGS, int(rng.integers(1, 12))).tolist() for _ in range(40)]
    return [right, [[t if rng.random() < 0.6 else str(rng.choice(TAGS)) for t in s] for s in right]]


def test_tags_are_measured_as_while_fine_tuning() -> None:
    right, found = random_tags(4)
    model = Fixed("token", TAGS, None, found)
    outcome = measured(model, sentences(right))
    flat = [np.array([TAGS.index(tag) for tags in side for tag in tags]) for side in (right, found)]
    wanted = label_measures(*flat) | entity_measures(right, found)
    assert values(outcome) == pytest.approx(wanted)


# What seqeval 1.2.2 prints for `random_tags`: precision_score, recall_score and f1_score, and
# classification_report's f1-score of each kind.
SEQEVAL: dict[int, tuple[float, float, float, dict[str, float]]] = {
    1: (
        0.6802030456852792,
        0.7015706806282722,
        0.6907216494845361,
        {"LOC": 0.7008547008547008, "MISC": 0.6861313868613138, "PER": 0.6865671641791045},
    ),
    2: (
        0.5857988165680473,
        0.5892857142857143,
        0.5875370919881305,
        {"LOC": 0.5172413793103449, "MISC": 0.624, "PER": 0.625},
    ),
    3: (
        0.5780346820809249,
        0.5617977528089888,
        0.5698005698005699,
        {"LOC": 0.5882352941176471, "MISC": 0.6101694915254238, "PER": 0.5087719298245614},
    ),
}


@pytest.mark.parametrize("seed", SEQEVAL)
def test_entities_are_seqevals(seed: int) -> None:
    right, found = random_tags(seed)
    outcome = measured(Fixed("token", TAGS, None, found), sentences(right))
    precision, recall, f1, by_kind = SEQEVAL[seed]
    measures = values(outcome)
    assert measures["entity_precision"] == pytest.approx(precision, abs=1e-12)
    assert measures["entity_recall"] == pytest.approx(recall, abs=1e-12)
    assert measures["entity_f1"] == pytest.approx(f1, abs=1e-12)
    assert outcome.by_class is not None
    own = outcome.by_class.counts.f1(np.ones((1, 40)))[0]
    assert dict(zip(outcome.by_class.names, own, strict=True)) == pytest.approx(by_kind, abs=1e-12)


def test_a_model_that_answers_in_another_scheme_is_compared_by_entities() -> None:
    right = [["B-PER", "I-PER", "O", "B-LOC"]]
    bilou = ["O", "B-PER", "I-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "L-LOC", "U-LOC"]
    outcome = measured(
        Fixed("token", bilou, None, [["B-PER", "L-PER", "O", "U-LOC"]]), sentences(right)
    )
    assert values(outcome)["entity_f1"] == values(outcome)["accuracy"] == 1.0
    assert outcome.confusion is not None
    assert outcome.confusion.names == ("O", "LOC", "PER")


def test_a_word_without_an_answer_is_outside_or_wrong() -> None:
    tagged = measured(
        Fixed("token", TAGS, None, [["B-PER", None, None]]), sentences([["B-PER", "O", "B-LOC"]])
    )
    assert values(tagged)["accuracy"] == pytest.approx(2 / 3)
    nouns = measured(
        Fixed("token", ["NOUN", "VERB"], None, [["NOUN", None]]), sentences([["NOUN", "VERB"]])
    )
    assert values(nouns) == pytest.approx({"accuracy": 0.5, "macro_f1": 0.5})
    assert nouns.confusion is not None
    assert nouns.confusion.counts.tolist() == [[1, 0], [0, 0]]


WORDS = ("the", "a", "Seine", "river", "Paris", "1999", "...", "an", "in")


def random_answers(seed: int, *, none: bool) -> list[tuple[list[str], str]]:
    rng = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(rng.choice(WORDS, int(rng.integers(1, 5))))

    pairs = []
    for _ in range(150):
        right = [text() for _ in range(int(rng.integers(0 if none else 1, 4)))]
        found = str(rng.choice([*right, text(), text(), *([""] if none else [])]))
        pairs.append((right, found))
    return pairs


# What SQuAD's scripts give for `random_answers`: exact match and F1, in percent. They are the copy
# of 1.1 in allennlp 0.9.0, and that of 2.0 in transformers 4.57.1.
SQUAD_1: dict[int, tuple[float, float]] = {
    1: (53.333333333333336, 53.7174603174603),
    2: (51.333333333333336, 52.844444444444434),
}
SQUAD_2: dict[int, tuple[float, float]] = {
    1: (46.0, 51.93333333333333),
    2: (41.333333333333336, 48.968253968253975),
}


@pytest.mark.parametrize(
    ("seed", "none", "printed"),
    [
        *((seed, False, printed) for seed, printed in SQUAD_1.items()),
        *((seed, True, printed) for seed, printed in SQUAD_2.items()),
    ],
)
def test_answers_are_those_of_squads_scripts(
    seed: int, *, none: bool, printed: tuple[float, float]
) -> None:
    pairs = random_answers(seed, none=none)
    examples = [
        QuestionExample("?", "…", tuple(Answer(text, 0) for text in right), "line")
        for right, _ in pairs
    ]
    outcome = measured(Fixed("question", (), None, [found for _, found in pairs]), examples)
    found = values(outcome)
    assert (100 * found["exact_match"], 100 * found["f1"]) == pytest.approx(printed, abs=1e-9)


def test_questions_with_and_without_an_answer_are_measured_apart() -> None:
    examples = [
        QuestionExample("?", "…", answers, "line")
        for answers in ((Answer("x y", 0),), (), (), (Answer("z", 0),))
    ]
    outcome = measured(Fixed("question", (), None, ["x", "", "x", "z"]), examples)
    assert values(outcome) == pytest.approx(
        {"exact_match": 0.5, "f1": (2 / 3 + 2) / 4, "f1_answered": (2 / 3 + 1) / 2,
         "f1_unanswered": 0.5}
    )  # fmt: skip
    assert [measure.count for measure in outcome.measures] == [4, 4, 2, 2]
