"""A running subject -> whether it has the weights that Cloze has: it must give the same answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.subjects import Subject
from benchmarks.workloads import Question

TEXTS = ("The train leaves the [MASK] at seven.", "She opened the [MASK] and read the letter.")
LEAST_COSINE = 0.98  # of vectors; int8 and bf16 move them a little
Answer = int | NDArray[np.float32]


class Sameness:
    """Compares every subject with the first one asked."""

    def __init__(self) -> None:
        self._first: dict[Question, Answer] = {}

    def check(self, subject: Subject) -> None:
        """Ask the subject for what it can do.

        Raises:
            RuntimeError: its answers are not those of the first subject.
        """
        for task in ("fill-mask", "embed"):
            if task in subject.tasks:
                for text in TEXTS:
                    question = Question(task, (text,))
                    self._compare(subject.name, question, read(subject.ask(question)))

    def _compare(self, name: str, question: Question, answer: Answer) -> None:
        first = self._first.setdefault(question, answer)
        if isinstance(answer, int) or isinstance(first, int):
            same, shown = answer == first, f"token {answer} instead of {first}"
        else:
            likeness = cosine(answer, first)
            same, shown = likeness >= LEAST_COSINE, f"a vector with cosine {likeness:.3f}"
        if not same:
            raise RuntimeError(f"{name} gives another answer ({question.task}): {shown}")


def read(answer: Any) -> Answer:
    """Find the likeliest token or the vector in any subject's answer.

    >>> read([[{"token": 7, "score": 0.5}]]), read({"data": [{"embedding": [1.0]}]}).tolist()
    (7, [1.0])
    """
    while True:
        if isinstance(answer, int):
            return answer
        if isinstance(answer, dict):
            answer = answer.get("data") or answer.get("embedding") or answer["token"]
        elif isinstance(answer[0], float):
            return np.array(answer, np.float32)
        else:
            answer = answer[0]


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the cosine of two vectors.

    >>> cosine(np.array([1.0, 0.0], np.float32), np.array([2.0, 0.0], np.float32))
    1.0
    """
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
