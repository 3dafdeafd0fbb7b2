"""Scored tokens of a text in, labelled tokens or entities out.

Labels are read as BIO: `B-PER` begins an entity of the group PER, `I-PER` goes on with it, and any
other label, such as `O`, is a group of its own. The strategies are those of transformers: `none`
gives tokens, `simple` joins neighbours of one group, and `first`, `average` and `max` settle on one
label per word before that: by its first token, by the mean of its tokens, or by the surest one.

Knows nothing of models or tokenizers. Letters: T tokens, W words, C labels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Strategy = Literal["none", "simple", "first", "average", "max"]
Scores = NDArray[np.float64]


class Entity(NamedTuple):
    """A token or a run of tokens with its label."""

    label: str
    """Of a single token as the model has it; of a group without its B- or I-."""
    score: float
    """Mean probability of the label of its tokens or words."""
    word: str
    """Its tokens as text."""
    start: int
    end: int
    """Where in the text it was written: `text[start:end]`."""
    first: int
    """Number of its first token."""


@dataclass(frozen=True)
class Tokens:
    """T neighbouring tokens of a text."""

    texts: Sequence[str]
    spans: Sequence[tuple[int, int]]
    """Start and end in the text."""
    words: Sequence[int]
    """Number of the word that the token belongs to."""


@dataclass(frozen=True)
class _Tagged:
    """A token or word, tokens `first` to `last`, with its label."""

    label: str
    score: float
    first: int
    last: int


def find_entities(
    parts: Sequence[Tokens],
    scores: Scores,
    labels: Sequence[str],
    strategy: Strategy,
    ignore: frozenset[str],
    join: Callable[[Sequence[str]], str],
) -> list[list[Entity]]:
    """What has a label in each part, in the tokens' order.

    The arrays are read once for all parts: between calls for each of many short texts the
    interpreter's lock would go to and fro, and no other thread would get hold of it.

    Args:
        parts: texts, or parts of them, of T tokens together.
        scores: float64 (T, C), a distribution over the labels for each token.
        labels: C names.
        strategy: how tokens become entities.
        ignore: labels, or groups of them, that are left out.
        join: tokens -> their text.
    """
    single = strategy in ("none", "simple")
    sizes = [[1] * len(part.texts) if single else word_sizes(part.words) for part in parts]
    words = _of_words(scores, list(chain.from_iterable(sizes)), strategy)  # (W, C)
    best = zip(words.argmax(axis=1).tolist(), words.max(axis=1).tolist(), strict=True)
    found = []
    for tokens, own in zip(parts, sizes, strict=True):
        tagged = [
            _Tagged(labels[index], score, begin, end - 1)
            for (begin, end), (index, score) in zip(  # noqa: B905 (the part's words, of all)
                pairwise(accumulate(own, initial=0)), best
            )
        ]
        if strategy == "none":
            named = [(one.label, [one]) for one in tagged]
        else:
            named = [(_name(run[0].label), run) for run in _runs(tagged)]
        found.append(
            [
                _entity(tokens, run, name, _spelled(tokens, run, strategy, join))
                for name, run in named
                if name not in ignore
            ]
        )
    return found


def without_overlaps(entities: Sequence[Entity]) -> list[Entity]:
    """The entities of a text that was read in overlapping parts, in their order, each once.

    Of two that overlap the longer one is kept, since the other was cut off by the end of its part;
    of equally long ones the likelier.
    """
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda one: one.start):
        if not kept or entity.start >= kept[-1].end:
            kept.append(entity)
        elif _weight(entity) > _weight(kept[-1]):
            kept[-1] = entity
    return kept


def word_sizes(words: Sequence[int]) -> list[int]:
    """Tokens of each word, given the word of each token.

    >>> word_sizes([4, 4, 5, 6, 6, 6])
    [2, 1, 3]
    """
    begins = [at for at, word in enumerate(words) if at == 0 or word != words[at - 1]]
    return [after - begin for begin, after in pairwise([*begins, len(words)])]


def words_between_blanks(
    text: str, spans: Sequence[tuple[int, int]], unknown: Sequence[bool]
) -> list[int]:
    """The word of each token whose spelling does not show it, as transformers guesses: by blanks.

    A token that the vocabulary lacks begins a word.

    >>> words_between_blanks("in Rome.", [(0, 2), (3, 7), (7, 8)], [False, False, False])
    [1, 2, 2]
    """
    begins = [
        lacks or start == 0 or " " in text[start - 1 : start + 1]
        for (start, _), lacks in zip(spans, unknown, strict=True)
    ]
    return list(accumulate(map(int, begins)))


def _weight(entity: Entity) -> tuple[int, float]:
    return entity.end - entity.start, entity.score


def _of_words(scores: Scores, sizes: Sequence[int], strategy: Strategy) -> Scores:
    """Scores (W, C) of the words that tokens with such scores (T, C) make up."""
    begins = np.cumsum([0, *sizes[:-1]])
    words = scores
    if strategy == "first":
        words = scores[begins]
    elif strategy == "average":
        words = np.add.reduceat(scores, begins) / np.array(sizes)[:, np.newaxis]
    elif strategy == "max":
        numbers = np.repeat(np.arange(len(sizes)), sizes)
        by_word_surest_first = np.lexsort((-scores.max(axis=1), numbers))
        words = scores[by_word_surest_first[begins]]
    return words


def _runs(tagged: Sequence[_Tagged]) -> list[list[_Tagged]]:
    """Neighbours of one group together; a label that starts with B- starts a new run."""
    runs: list[list[_Tagged]] = []
    for one in tagged:
        joins = bool(runs) and not one.label.startswith("B-")
        if joins and _kind(one.label) == _kind(runs[-1][-1].label):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _kind(label: str) -> str:
    """What neighbours of one group have in common.

    >>> _kind("B-PER"), _kind("I-PER"), _kind("O")
    ('PER', 'PER', 'O')
    """
    return label[2:] if label.startswith(("B-", "I-")) else label


def _name(label: str) -> str:
    """A group's name; that of labels in other schemes too, such as S-PER of BIOES.

    >>> _name("B-PER"), _name("S-PER"), _name("O")
    ('PER', 'PER', 'O')
    """
    return label.split("-", 1)[-1]


def _spelled(
    tokens: Tokens,
    run: Sequence[_Tagged],
    strategy: Strategy,
    join: Callable[[Sequence[str]], str],
) -> str:
    """What transformers shows of a run: a token as it stands, tokens joined, or words of tokens."""
    if strategy == "none":
        return tokens.texts[run[0].first]
    parts = [tokens.texts[one.first : one.last + 1] for one in run]
    if strategy == "simple":
        return join(list(chain.from_iterable(parts)))
    return join([join(part) for part in parts])


def _entity(tokens: Tokens, run: Sequence[_Tagged], label: str, word: str) -> Entity:
    first, last = run[0].first, run[-1].last
    return Entity(
        label=label,
        score=sum(one.score for one in run) / len(run),
        word=word,
        start=tokens.spans[first][0],
        end=tokens.spans[last][1],
        first=first,
    )
