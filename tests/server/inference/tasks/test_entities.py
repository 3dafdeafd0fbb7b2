"""BIO labels and their strategies, by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from server.inference.tasks.entities import (
    Entity,
    Strategy,
    Tokens,
    find_entities,
    without_overlaps,
)

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "S-ORG")
SURE = 0.9
NOTHING: frozenset[str] = frozenset()


def scores_of(labels: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """float64 (tokens, labels) that are sure of `labels`."""
    scores = np.full((len(labels), len(LABELS)), (1 - SURE) / (len(LABELS) - 1))
    scores[np.arange(len(labels)), [LABELS.index(label) for label in labels]] = SURE
    return scores


def tokens_of(count: int, words: Sequence[int] | None = None) -> Tokens:
    """`count` tokens, a b c d, with a space behind each."""
    spans = [(2 * at, 2 * at + 1) for at in range(count)]
    return Tokens([chr(97 + at) for at in range(count)], spans, words or list(range(count)))


def found(
    labels: Sequence[str], strategy: Strategy = "simple", ignore: frozenset[str] = frozenset("O")
) -> list[tuple[str, str]]:
    (entities,) = find_entities(
        [tokens_of(len(labels))], scores_of(labels), LABELS, strategy, ignore, " ".join
    )
    return [(entity.label, entity.word) for entity in entities]


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        (["B-PER", "I-PER", "O"], [("PER", "a b")]),
        (["B-PER", "B-PER"], [("PER", "a"), ("PER", "b")]),
        (["B-PER", "I-LOC"], [("PER", "a"), ("LOC", "b")]),
        (["I-PER", "I-PER"], [("PER", "a b")]),
        (["I-PER", "B-PER", "I-PER"], [("PER", "a"), ("PER", "b c")]),
        (["I-PER", "O", "I-PER"], [("PER", "a"), ("PER", "c")]),
        (["S-ORG", "S-ORG", "B-LOC"], [("ORG", "a b"), ("LOC", "c")]),
        (["O", "O"], []),
    ],
)
def test_neighbours_of_one_group_are_joined_unless_one_begins(
    labels: list[str], entities: list[tuple[str, str]]
) -> None:
    assert found(labels) == entities


def test_without_aggregation_every_token_keeps_its_own_label() -> None:
    assert found(["B-PER", "I-PER", "O"], "none") == [("B-PER", "a"), ("I-PER", "b")]


def test_what_is_ignored_still_separates() -> None:
    labels = ["B-PER", "B-LOC", "I-PER"]
    assert found(labels, ignore=frozenset({"LOC"})) == [("PER", "a"), ("PER", "c")]
    assert found(["O", "B-PER"], ignore=NOTHING) == [("O", "a"), ("PER", "b")]
    # Tokens have labels, entities have groups.
    assert found(["B-PER"], "none", frozenset({"PER"})) == [("B-PER", "a")]


def test_an_entity_has_the_span_and_the_mean_score_of_its_tokens() -> None:
    scores = scores_of(["O", "B-PER", "I-PER"])
    scores[2, 2] = 0.5
    ((entity,),) = find_entities([tokens_of(3)], scores, LABELS, "simple", frozenset("O"), " ".join)
    assert entity == Entity("PER", (SURE + 0.5) / 2, "b c", 2, 5, 1)


@pytest.mark.parametrize(
    ("strategy", "label", "score"),
    [("first", "B-PER", 0.4), ("average", "I-LOC", 0.35), ("max", "I-LOC", 0.6)],
)
def test_a_word_gets_one_label(strategy: Strategy, label: str, score: float) -> None:
    scores = np.array([[0.3, 0.4, 0, 0.2, 0.1, 0], [0.1, 0.2, 0, 0.1, 0.6, 0]])
    tokens = tokens_of(2, words=[7, 7])
    ((entity,),) = find_entities([tokens], scores, LABELS, strategy, NOTHING, "".join)
    assert (entity.label, entity.word) == (label[2:], "ab")
    assert entity.score == pytest.approx(score)
    assert (entity.start, entity.end) == (0, 3)


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_many_texts_have_the_entities_of_each_by_itself(strategy: Strategy) -> None:
    generator = np.random.default_rng(3)
    parts, scores = [], []
    for count in generator.integers(1, 9, 40):
        words = np.cumsum(generator.integers(0, 2, count)).tolist()
        parts.append(tokens_of(count, words))
        scores.append(generator.dirichlet(np.ones(len(LABELS)), count))
    # The surest token of a word is not always alone.
    scores[0][:] = scores[0][0]

    together = find_entities(parts, np.concatenate(scores), LABELS, strategy, NOTHING, "".join)
    apart = [
        find_entities([part], own, LABELS, strategy, NOTHING, "".join)[0]
        for part, own in zip(parts, scores, strict=True)
    ]
    assert together == apart
    assert sum(map(len, together)) > 40


def test_of_entities_that_overlap_the_longest_is_kept_and_then_the_likeliest() -> None:
    cut = Entity("LOC", 0.99, "new", 0, 3, 0)
    whole = Entity("LOC", 0.7, "new york", 0, 8, 0)
    surer = whole._replace(label="PER", score=0.8)
    later = Entity("PER", 0.5, "ada", 9, 12, 2)
    assert without_overlaps([cut, whole, later]) == [whole, later]
    assert without_overlaps([later, whole, cut]) == [whole, later]
    assert without_overlaps([whole, surer]) == without_overlaps([surer, whole]) == [surer]
    assert without_overlaps([]) == []
