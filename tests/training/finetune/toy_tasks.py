"""A seed in, examples of three small languages out: one per task, none solved by counting words."""

from __future__ import annotations

from typing import Any

import numpy as np

MOODS = {"glad": "good", "happy": "good", "sad": "bad", "angry": "bad", "calm": "neutral"}
NAMES = ("anna", "ben", "carl", "dora", "emil")
TOWNS = ("rome", "paris", "oslo")
HOURS = ("dawn", "noon", "night")
FILLERS = ("the", "a", "of", "we", "then", "much", "very", "long", "some", "old")
QUESTIONS = {"who": NAMES, "where": TOWNS, "when": HOURS}
ENDINGS = ("##berg", "##son")
PIECES = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "'", "mr",
    *MOODS, *NAMES, *TOWNS, *HOURS, *FILLERS, *QUESTIONS, *ENDINGS,
)  # fmt: skip

Example = dict[str, Any]


def moods(count: int, seed: int) -> list[Example]:
    """Pairs of texts, each with a mood: the label is that of the second, so segments matter."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        first, second = (str(mood) for mood in rng.choice(list(MOODS), 2))
        texts = [_mix(rng, [first], 4), _mix(rng, [second], 3)]
        examples.append({"text": texts[0], "text_pair": texts[1], "label": MOODS[second]})
    return examples


def entities(count: int, seed: int) -> list[Example]:
    """Sentences with people ("anna", "mr ben carlson") and towns ("annaberg").

    A word's first piece alone does not tell: "anna" is a person, "annaberg" is not.
    """
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        words, labels = [], []
        for kind in rng.integers(0, 4, int(rng.integers(2, 5))):
            one, other = (str(name) for name in rng.choice(NAMES, 2))
            new = {
                0: [(str(rng.choice(FILLERS)), "O")],
                1: [(one, "B-PER")],
                2: [("mr", "O"), (one, "B-PER"), (other + "son", "I-PER")],
                3: [(one + "berg", "B-LOC")],
            }[int(kind)]
            words += [word for word, _ in new]
            labels += [label for _, label in new]
        examples.append({"tokens": words, "labels": labels})
    return examples


def questions(count: int, seed: int, *, fillers: int = 12) -> list[Example]:
    """Contexts with a name, a town and an hour among `fillers`: the question asks for one."""
    rng = np.random.default_rng(seed)
    examples = []
    for _ in range(count):
        asked = str(rng.choice(list(QUESTIONS)))
        chosen = {word: str(rng.choice(answers)) for word, answers in QUESTIONS.items()}
        context = _mix(rng, list(chosen.values()), fillers)
        answer = chosen[asked]
        answers = [{"text": answer, "answer_start": context.index(answer)}]
        examples.append({"question": f"{asked}?", "context": context, "answers": answers})
    return examples


def _mix(rng: np.random.Generator, words: list[str], fillers: int) -> str:
    mixed = [*words, *(str(word) for word in rng.choice(FILLERS, fillers))]
    return " ".join(str(word) for word in rng.permutation(mixed))
