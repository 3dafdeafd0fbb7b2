"""Near duplicates, against comparing every pair."""

from __future__ import annotations

import numpy as np

from training.finetune.duplicates import NEAR, near_duplicates, plain_text


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of a small vocabulary, some words of it rare, so that many are alike."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(30)])
    weights = 1 / np.arange(1, 31)
    return [
        " ".join(rng.choice(words, int(rng.integers(1, 12)), p=weights / weights.sum()))
        for _ in range(count)
    ]


def test_all_pairs_that_are_alike_are_found_and_no_others() -> None:
    ours, theirs = random_texts(150, 1), random_texts(170, 2)
    sets = [[set(text.split()) for text in side] for side in (ours, theirs)]
    expected = []
    for number, words in enumerate(sets[0]):
        near = [place for place, other in enumerate(sets[1])
                if len(words & other) / len(words | other) >= NEAR]  # fmt: skip
        expected += [(number, near[0])] if near else []
    assert 20 < len(expected) < 150
    assert near_duplicates(ours, theirs) == expected


def test_case_and_punctuation_do_not_count_and_other_signs_do() -> None:
    assert plain_text("\u00c9t\u00e9, 2 fois!") == "\u00e9t\u00e9 2 fois"
    assert near_duplicates(["!!", "\U0001f600"], ["\U0001f600", "!?"]) == [(1, 0)]
