"""Texts -> the workloads that are measured: what is asked, in which order, but not over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice, pairwise
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from benchmarks.texts import Count, long_lengths, masked, mixed_lengths, of_lengths, sentences

Task = Literal["fill-mask", "embed", "nsp"]
TASKS: tuple[Task, ...] = ("fill-mask", "embed", "nsp")

KINDS = ("short", "mixed", "long")  # of texts, by their lengths
MANY, FEW = 256, 64  # texts of a workload: in general, and where each is long
LIST = 512  # texts in the list that one client sends
LENGTHS = (8, 16, 32, 64, 128, 256, 500)  # tokens, of the plot of throughput against length


@dataclass(frozen=True)
class Question:
    """One request: texts, or for nsp the two texts of each pair in turn."""

    task: Task
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Workload:
    """Questions of one kind."""

    name: str
    questions: tuple[Question, ...]

    @property
    def tasks(self) -> frozenset[Task]:
        """The tasks that a subject must serve."""
        return frozenset(question.task for question in self.questions)

    def texts(self) -> tuple[Task, list[tuple[str, ...]]]:
        """Return the one task of a loop's workload, and its texts."""
        (task,) = self.tasks
        return task, [question.texts for question in self.questions]


class Workloads:
    """All workloads, for the tokenizer of one model."""

    def __init__(self, tokenizer: Path) -> None:
        loaded = Tokenizer.from_file(str(tokenizer))
        count: Count = lambda text: len(loaded.encode(text).ids)  # noqa: E731
        self._texts: Mapping[str, tuple[str, ...]] = {
            "short": sentences(),
            "mixed": of_lengths(mixed_lengths(MANY), count),
            "long": of_lengths(long_lengths(FEW), count),
        }
        self._count = count

    def of(self, length: str, task: Task) -> Workload:
        """Return the single requests of one task, with "short", "mixed" or "long" texts."""
        texts = self._texts[length]
        if task == "nsp":
            return Workload(f"{length} pairs", questions("nsp", texts))
        return Workload(f"{length} {task}", questions(task, texts))

    def three_tasks(self) -> Workload:
        """Return short requests of the three tasks in turn."""
        parts = [self.of("short", task).questions for task in TASKS]
        in_turn = chain.from_iterable(zip(*parts, strict=False))
        return Workload("three tasks in turn", tuple(in_turn))

    def lists(self, size: int = LIST) -> Workload:
        """Return requests of so many short texts to embed, each with other ones while they last."""
        texts = self._texts["short"]
        endless = cycle(texts)
        lists = [tuple(islice(endless, size)) for _ in range(max(1, len(texts) // size))]
        return Workload(f"list of {size}", tuple(Question("embed", each) for each in lists))

    def of_tokens(self, tokens: int, task: Task) -> Workload:
        """Return requests whose texts have (nearly) so many tokens."""
        texts = of_lengths([tokens] * FEW, self._count)
        return Workload(f"{task} of {tokens} tokens", questions(task, texts))


def questions(task: Task, texts: Sequence[str]) -> tuple[Question, ...]:
    """Ask for each text by itself, for nsp with the text after it.

    >>> questions("fill-mask", ["Rain fell."])
    (Question(task='fill-mask', texts=('[MASK] fell.',)),)
    >>> questions("nsp", ["One.", "Two."])
    (Question(task='nsp', texts=('One.', 'Two.')),)
    """
    if task == "nsp":
        return tuple(Question(task, pair) for pair in pairwise(texts))
    prepared = map(masked, texts) if task == "fill-mask" else texts
    return tuple(Question(task, (text,)) for text in prepared)
