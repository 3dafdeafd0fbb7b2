"""A running subject -> whether it has the weights that Cloze has: it must give the same answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.subjects import Subject
from benchmarks.workloads import Question

TEXTS = ("The train leaves the [MASK] at seven.", "She opened the [MASK] and read the letter.")
LEAST_COSINE = 0.98  # of vectors; int8 and bf16 move them a little


class Sameness:
    """Compares every subject with the first one asked."""

    def __init__(self) -> None:
        self._first: dict[Question, int | NDArray[np.float32]] = {}

    def check(self, subject: Subject) -> None:
        """Ask the subject for what it can do.

        Raises:
            RuntimeError: its answers are not those of the first subject.
        """
        tasks = subject.tasks & {"fill-mask", "embed"}
        for question in (Question(task, (text,)) for task in sorted(tasks) for text in TEXTS):
            answer = read(subject.ask(question))
            first = self._first.setdefault(question, answer)
            if isinstance(answer, int) or isinstance(first, int):
                same, shown = answer == first, f"token {answer} instead of {first}"
            else:
                cosine = answer @ first / np.linalg.norm(answer) / np.linalg.norm(first)
                same, shown = bool(cosine >= LEAST_COSINE), f"a vector with cosine {cosine:.3f}"
            if not same:
                raise RuntimeError(f"{subject.name} answers {question.task} otherwise: {shown}")


def read(answer: Any) -> int | NDArray[np.float32]:
    """Find the likeliest token or the vector in any subject's answer.

    >>> read([[{"token": 7, "score": 0.5}]]), read({"data": [{"embedding": [1.0]}]}).tolist()
    (7, [1.0])
    """
    while not isinstance(answer, int):
        if isinstance(answer, dict):
            answer = answer.get("data") or answer.get("embedding") or answer["token"]
        elif isinstance(answer[0], float):
            return np.array(answer, np.float32)
        else:
            answer = answer[0]
    return answer
