"""Rows that are set aside: how many of which label, and which stay together."""

from __future__ import annotations

from collections import Counter

import pytest

from training.errors import TrainingError
from training.finetune.data import QuestionExample, SequenceExample, TokenExample
from training.finetune.shares import set_aside


def rows(labels: str, texts: int | None = None) -> list[SequenceExample]:
    """One row per letter; the first `texts` texts come again and again, by default none does."""
    return [
        SequenceExample(f"Text {number % (texts or len(labels))}!", None, label, f"line {number}")
        for number, label in enumerate(labels)
    ]


def number_of(example: SequenceExample) -> int:
    return int(example.place.split()[1])


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_label_has_its_share(share: float, seed: int) -> None:
    examples = rows("a" * 100 + "b" * 40 + "c" * 13 + "d")
    kept, aside = set_aside(examples, share, seed)
    assert sorted([*kept, *aside], key=number_of) == examples
    assert kept == sorted(kept, key=number_of)
    assert len(aside) == pytest.approx(share * len(examples), abs=1)
    found = Counter(example.label for example in aside)
    for label, count in (("a", 100), ("b", 40), ("c", 13)):
        assert found[label] == pytest.approx(share * count, abs=1.01)
    assert found["d"] == 0  # the only one is learnt


def test_the_seed_decides() -> None:
    examples = rows("ab" * 50)
    assert set_aside(examples, 0.2, 3) == set_aside(examples, 0.2, 3)
    assert set_aside(examples, 0.2, 3) != set_aside(examples, 0.2, 4)


def test_the_same_words_stay_together() -> None:
    kept, aside = set_aside(rows("a" * 60, texts=20), 0.3, 0)
    assert not {example.text for example in kept} & {example.text for example in aside}
    assert len(aside) == 18


def test_questions_about_one_context_stay_together() -> None:
    examples = [
        QuestionExample(f"Who {number}?", f"Context {number % 12}", (), f"line {number}")
        for number in range(60)
    ]
    kept, aside = set_aside(examples, 0.25, 0)
    contexts = [{example.context for example in part} for part in (kept, aside)]
    assert not contexts[0] & contexts[1]
    assert len(aside) == 15


def test_numbers_are_set_aside_over_their_whole_range() -> None:
    examples = [SequenceExample(f"t{n}", None, float(n), f"line {n}") for n in range(200)]
    _, aside = set_aside(examples, 0.1, 0)
    found = sorted(float(example.label) for example in aside)  # type: ignore[arg-type]
    assert len(found) == 20
    assert all(20 * place <= found[2 * place] < 20 * place + 20 for place in range(10))


def test_too_few_rows_are_refused() -> None:
    sentences = [TokenExample((f"w{n}",), ("O",), f"line {n}") for n in range(4)]
    with pytest.raises(TrainingError, match=r"--dev-share 0\.05 of 4 rows sets none aside"):
        set_aside(sentences, 0.05, 0)
