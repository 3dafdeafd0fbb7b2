"""Texts of two files in, those of one that stand in the other too, all but word for word, out.

Two texts are near duplicates where their sets of words have a Jaccard index of `NEAR` or more. All
such pairs are found without comparing all: sets that are so alike share a word among the rarest few
of each (prefix filtering: Chaudhuri et al. 2006, Bayardo et al. 2007).
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

NEAR = 0.8
_WORD = re.compile(r"\w+")

Words = frozenset[str]


def near_duplicates(texts: Sequence[str], among: Sequence[str]) -> list[tuple[int, int]]:
    """Of each text that has near duplicates among others, its number and that of the first.

    >>> near_duplicates(["A meal, superb!", "dull"], ["so dull", "a superb meal"])
    [(0, 1)]
    """
    ours, theirs = [_words(text) for text in texts], [_words(text) for text in among]
    frequency = Counter(word for words in theirs for word in words)
    index: dict[str, list[int]] = defaultdict(list)
    for number, words in enumerate(theirs):
        for word in _rarest(words, frequency):
            index[word].append(number)
    found = []
    for number, words in enumerate(ours):
        near = sorted(
            {other for word in _rarest(words, frequency) for other in index.get(word, ())}
        )
        first = next((other for other in near if _alike(words, theirs[other])), None)
        if first is not None:
            found.append((number, first))
    return found


def plain_text(text: str) -> str:
    """A text in which only its words count, in their order.

    >>> plain_text("A meal,  SUPERB!") == plain_text("a meal superb")
    True
    """
    return " ".join(_WORD.findall(text.casefold())) or text.strip()


def _words(text: str) -> Words:
    return frozenset(plain_text(text).split())


def _rarest(words: Words, frequency: Counter[str]) -> list[str]:
    """So many of the rarest words that two sets which are alike share one of them."""
    ordered = sorted(words, key=lambda word: (frequency[word], word))
    return ordered[: len(words) - math.ceil(NEAR * len(words)) + 1]


def _alike(one: Words, other: Words) -> bool:
    shared = len(one & other)
    return shared >= NEAR * (len(one) + len(other) - shared)
