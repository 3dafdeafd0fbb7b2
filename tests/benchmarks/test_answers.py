"""A subject with other weights is found out by its answers."""

from typing import Any

import pytest

from benchmarks.answers import Sameness
from benchmarks.subjects import Subject
from benchmarks.workloads import Question, Task


class Answering(Subject):
    """Gives the same answer to every question of a task."""

    def __init__(self, name: str, answers: dict[Task, Any]) -> None:
        self.name, self._answers, self.tasks = name, answers, frozenset(answers)

    def saturate(self, *_: object, **__: object) -> Any:
        raise NotImplementedError

    def ask(self, question: Question) -> Any:
        return self._answers[question.task]


CLOZE = Answering("cloze", {"fill-mask": [{"score": 0.5, "token": 7}], "embed": [[1.0, 0.0, 0.0]]})


def test_other_shapes_of_the_same_answer_pass() -> None:
    same = Sameness()
    same.check(CLOZE)
    same.check(Answering("loop", {"fill-mask": 7, "embed": [0.99, 0.01, 0.0]}))
    same.check(Answering("infinity", {"embed": {"data": [{"embedding": [1.0, 0.0, 0.01]}]}}))


@pytest.mark.parametrize(
    ("answers", "shown"),
    [({"fill-mask": 8}, "token 8 instead of 7"), ({"embed": [[0.0, 1.0, 0.0]]}, "cosine 0.000")],
)
def test_another_answer_is_told(answers: dict[Task, Any], shown: str) -> None:
    same = Sameness()
    same.check(CLOZE)
    with pytest.raises(RuntimeError, match=shown):
        same.check(Answering("peer", answers))
