"""Subjects -> whether they answer alike: `Sameness` before they are measured, section `answers`.

All must have the same weights, so a subject that answers otherwise than the first is left out.

A text's answer should depend neither on the device nor on the texts that it is computed with. Each
text is asked for alone, and again in one list with others, which a server computes together.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.results import Sample
from benchmarks.subjects import Server, Subject
from benchmarks.workloads import Question, Task

TEXTS = ("The train leaves the [MASK] at seven.", "She opened the [MASK] and read the letter.")
LEAST_COSINE = 0.98  # of vectors with the same weights; int8 and bf16 move them a little
ASKED = 8  # texts of mixed lengths whose answers are compared
FEW, MANY = 7, 400  # short texts beside them


def answers(bench: Bench) -> Iterator[Sample]:
    """Largest differences of vectors and log-probabilities, and how often the best word stays."""
    for server in bench.servers:
        for task in ("embed", "fill-mask"):
            if task in server.tasks:
                yield from _compared(bench, server, task)


def _compared(bench: Bench, server: Server, task: Task) -> Iterator[Sample]:
    texts = _texts(bench, "mixed", task)[:ASKED]
    alone = [server.ask(Question(task, (text,))) for text in texts]
    if bench.reference is not None:
        wanted = [bench.reference.ask(Question(task, (text,))) for text in texts]
        name = f"{task}, from {bench.reference.name}"
        yield from _differences(name, server.name, task, alone, wanted)
    for company, others in _companies(bench, task).items():
        among = server.ask(Question(task, (*texts, *others)))[: len(texts)]
        if task == "embed":  # one text has a list with one vector, several have one of vectors
            among = [[vector] for vector in among]
        yield from _differences(f"{task}, beside {company}", server.name, task, among, alone)


def _companies(bench: Bench, task: Task) -> Mapping[str, Sequence[str]]:
    short, (longest, *_) = _texts(bench, "short", task), _texts(bench, "long", task)
    many = (short * (MANY // len(short) + 1))[:MANY]
    return {
        f"{FEW} short texts": short[:FEW],
        "a long text": [longest],
        f"{MANY} short texts and a long one": [*many, longest],
    }


def _texts(bench: Bench, kind: str, task: Task) -> list[str]:
    return [question.texts[0] for question in bench.workloads.of(kind, task).questions]


def _differences(
    workload: str, subject: str, task: Task, found: list[Any], wanted: list[Any]
) -> Iterator[Sample]:
    if task == "embed":
        apart = np.abs(np.array(found, np.float64) - np.array(wanted, np.float64))
        yield Sample(workload, subject, "vectors", float(apart.max()))
        return
    pairs = [(_scores(one), _scores(other)) for one, other in zip(found, wanted, strict=True)]
    odds = [abs(one[token] - other[token]) for one, other in pairs for token in one.keys() & other]
    same = [next(iter(one)) == next(iter(other)) for one, other in pairs]
    yield Sample(workload, subject, "log-probabilities", max(odds, default=float("nan")))
    yield Sample(workload, subject, "best word", sum(same) / len(same))


def _scores(candidates: list[dict[str, Any]]) -> dict[int, float]:
    """Return the log-probability of each token, the likeliest first."""
    return {one["token"]: math.log(one["score"]) for one in candidates}


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
