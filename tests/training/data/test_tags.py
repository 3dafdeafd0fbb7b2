"""Every scheme of tags, against the same entities written in it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from training.data.tags import scheme_of, to_iob2

Spans = list[tuple[str, int]]  # kind and length of each stretch of words; O is outside


def random_spans(seed: int) -> Spans:
    rng = np.random.default_rng(seed)
    kinds = ("O", "PER", "LOC-CITY")
    return [(kinds[kind], int(rng.integers(1, 4))) for kind in rng.integers(0, 3, 9)]


def write(spans: Spans, scheme: str) -> list[str]:
    """The tags of stretches in a scheme, by the scheme's own definition."""
    tags: list[str] = []
    for (before, _), (kind, length) in pairwise([("O", 1), *spans]):
        if kind == "O":
            tags += ["O"] * length
            continue
        letters = ["I"] * length
        if scheme == "IOB2" or (scheme == "IOB1" and before == kind):
            letters[0] = "B"
        if scheme in {"IOBES", "BILOU"}:
            letters[0], letters[-1] = "B", scheme[3] if scheme == "IOBES" else "L"
            if length == 1:
                letters[0] = "S" if scheme == "IOBES" else "U"
        tags += [f"{letter}-{kind}" for letter in letters]
    return tags


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES", "BILOU"])
def test_each_scheme_is_known_and_read_as_iob2(scheme: str) -> None:
    languages = [random_spans(seed) for seed in range(30)]
    written = [write(spans, scheme) for spans in languages]
    assert scheme_of(written) == scheme
    for spans, tags in zip(languages, written, strict=True):
        assert list(to_iob2(tags)) == write(spans, "IOB2")


def test_what_follows_an_end_is_another_entity() -> None:
    assert to_iob2(["B-A", "E-A", "I-A", "L-A", "I-B"]) == ("B-A", "I-A", "B-A", "I-A", "B-B")
