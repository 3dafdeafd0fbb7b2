"""texts.txt -> texts of wanted lengths in tokens: short, mixed, long, or exactly as long as asked.

The sentences are 332 different English ones, 18 tokens on average with [CLS] and [SEP], so that no
answer is asked for twice in a row and lengths vary as in real traffic. Longer texts are sentences
one after the other, each text beginning with another sentence, cut at the wanted number of tokens.
"""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path

TEXTS = Path(__file__).with_name("texts.txt")
SEED = 55
SPECIAL_TOKENS = 2  # [CLS] and [SEP]

MIXED = (4, 380, 55)  # tokens: shortest, longest, mean
MIXED_SIGMA = 0.9  # of the logarithm: one text in ten has more than 110 tokens, half fewer than 40
MIXED_SCALE = 37.8125  # tokens; cutting at both ends moves the mean, and this one keeps it
LONG = (300, 500)  # tokens

Count = Callable[[str], int]
"""Tokens of a text, with [CLS] and [SEP]."""


def sentences() -> tuple[str, ...]:
    """Return the short texts."""
    return tuple(TEXTS.read_text().splitlines())


def mixed_lengths(count: int) -> list[int]:
    """Draw lengths of log-normal distribution, in tokens, with the mean that `MIXED` names.

    >>> lengths = mixed_lengths(256)
    >>> min(lengths) >= 4, max(lengths) <= 380, round(sum(lengths) / 256)
    (True, True, 55)
    """
    shortest, longest, _ = MIXED
    chance = random.Random(SEED)  # noqa: S311 - the same lengths every time
    drawn = (MIXED_SCALE * chance.lognormvariate(0, MIXED_SIGMA) for _ in range(count))
    return [min(max(round(length), shortest), longest) for length in drawn]


def long_lengths(count: int) -> list[int]:
    """Draw lengths evenly from `LONG`, in tokens."""
    chance = random.Random(SEED)  # noqa: S311 - the same lengths every time
    return [chance.randint(*LONG) for _ in range(count)]


def of_lengths(lengths: Sequence[int], count: Count) -> tuple[str, ...]:
    """Return a text of each length, in tokens, or as many tokens fewer as the last word has."""
    starts = range(0, len(lengths) * 7, 7)  # 7 and 332 share no factor: all sentences begin a text
    return tuple(
        _of_length(_words_from(start), length, count)
        for start, length in zip(starts, lengths, strict=True)
    )


def _words_from(start: int) -> Iterator[str]:
    lines = sentences()
    start %= len(lines)
    return chain.from_iterable(line.split() for line in cycle(lines[start:] + lines[:start]))


def _of_length(words: Iterator[str], length: int, count: Count) -> str:
    taken: list[str] = []
    room = length - SPECIAL_TOKENS
    for word in words:
        room -= count(word) - SPECIAL_TOKENS
        if room < 0 and taken:
            break
        taken.append(word)
    return " ".join(taken)


def masked(text: str) -> str:
    """Put the mask where the longest word was, the first one if there are several.

    >>> masked("The train leaves at seven.")
    'The train [MASK] at seven.'
    """
    longest = max(re.finditer(r"[A-Za-z]+", text), key=lambda word: len(word.group()))
    return f"{text[: longest.start()]}[MASK]{text[longest.end() :]}"
