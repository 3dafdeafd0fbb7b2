"""A model folder, as it is served, in; a model that answers through the server's own code out.

What is measured is then what clients get: the graph in its precision, the server's tokenizer, its
windows and its reading of the logits. No server is started and no port is opened.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from models.manifest import ManifestError, ModelManifest
from server.errors import ClozeError
from server.inference.pipeline import Pipeline, Resources
from server.inference.runtime.devices import cpu_device
from server.inference.tasks.pairs import TEXT_SPECIALS, Cut, TextOrPair
from server.inference.tasks.question_answering import (
    QUESTION_ANSWERING,
    USUAL_TOKENS,
    AnswerOptions,
    Question,
)
from server.inference.tasks.task import Task
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    Function,
    PredictOptions,
)
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION, EntityOptions
from server.settings import InferenceOptions, Limits
from training.errors import TrainingError
from training.evaluate.inference import progress
from training.evaluate.labelled.checkpoint import problem_of
from training.evaluate.labelled.task_model import HEADS, About, Float64, Found, Running, Tags
from training.finetune.data import Example, QuestionExample, SequenceExample, TokenExample
from training.finetune.labelling import Problem
from training.finetune.labels import cut_between
from training.finetune.questions import LONGEST, QUESTION_TOKENS

ANY: Final = 1 << 40  # as much of everything as there is
LIMITS: Final = Limits(
    max_body_bytes=ANY, pending_body_bytes=ANY, max_answer_bytes=ANY, pending_answer_bytes=ANY,
    max_inputs=ANY, queue_tokens=ANY, max_request_tokens=ANY,
)  # fmt: skip

FUNCTIONS: Final[Mapping[Problem, Function]] = {
    Problem.CLASSES: "softmax",
    Problem.SEVERAL: "sigmoid",
    Problem.NUMBER: "none",
}

In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")


class Served:
    """A model folder."""

    def __init__(self, folder: Path, running: Running, *, threads: int | None = None) -> None:
        """Verify and load it. Raises `TrainingError` where it must not be used, or cannot."""
        options = InferenceOptions(device="cpu", threads=threads or 0)
        try:
            self._pipeline = Pipeline(folder, Resources(options, LIMITS, cpu_device()))
        except ManifestError as error:
            raise TrainingError(str(error)) from None
        self._running = running
        self.about = about(self._pipeline.manifest)
        if running.max_tokens is not None and self.about.kind != "question":
            raise TrainingError(
                f"--max-tokens is for checkpoints: {folder.name} reads "
                f"{self._pipeline.manifest.max_tokens} tokens, as its manifest says."
            )
        self._pipeline.start()

    def scores(self, examples: Sequence[SequenceExample]) -> Float64:
        """As `TaskModel` has it."""
        inputs: list[TextOrPair] = [(example.text, example.text_pair) for example in examples]
        # Also of a model whose own scores are logits, as those of rerankers.
        function = FUNCTIONS[self.about.problem or Problem.CLASSES]
        options = PredictOptions(function=function, cut=Cut(truncate=True))
        found = self._ask(TEXT_CLASSIFICATION, inputs, options, examples)
        by_name = [{one.label: one.score for one in labels} for labels in found]
        scores = np.array([[row[name] for name in self.about.labels] for row in by_name])
        if not np.isfinite(scores).all():
            raise TrainingError(f"{self.about.name} computes logits that are not finite numbers.")
        return scores

    def tags(self, examples: Sequence[TokenExample]) -> list[Tags]:
        """As `TaskModel` has it; a sentence that is too long is cut between words."""
        found: list[Tags] = [[None] * len(example.words) for example in examples]
        parts = [(number, part) for number, one in enumerate(examples) for part in self._parts(one)]
        texts = [" ".join(examples[number].words[slice(*part)]) for number, part in parts]
        options = EntityOptions(strategy="none", ignore=frozenset(), truncate=True)
        places = [examples[number] for number, _ in parts]
        for (number, (first, end)), tokens in zip(
            parts, self._ask(TOKEN_CLASSIFICATION, texts, options, places), strict=True
        ):
            starts = _starts(examples[number].words[first:end])
            # Some tokenizers count the blank before a word to it; none does its last character.
            ends = [max(token.start, token.end - 1) for token in tokens]
            word = np.searchsorted(starts, ends, side="right") - 1
            for place, token in zip(word.tolist(), tokens, strict=True):
                # Of several tokens of a word the first one tells.
                found[number][first + place] = found[number][first + place] or token.label
        return found

    def answers(self, examples: Sequence[QuestionExample], *, abstain: bool) -> list[Found]:
        """As `TaskModel` has it; spans of tokens, not of whole words, as in training."""
        asked, usual = self._running, Running()
        room = asked.max_tokens or min(USUAL_TOKENS, self._pipeline.manifest.max_tokens)
        options = AnswerOptions(
            max_answer_tokens=LONGEST,
            max_tokens=asked.max_tokens,
            overlap=None if asked.overlap == usual.overlap else asked.overlap,
            max_question_tokens=min(QUESTION_TOKENS, (room - 3) // 2),
            may_be_unanswerable=abstain,
            whole_words=False,
        )
        inputs = [Question(example.question, example.context) for example in examples]
        found = self._ask(QUESTION_ANSWERING, inputs, options, examples)
        return [Found(answers[0].answer, answers[0].score) for answers in found]

    def close(self) -> None:
        """Stop its threads."""
        self._pipeline.close()

    def _parts(self, example: TokenExample) -> Iterator[tuple[int, int]]:
        """Runs of words that the model reads at once, without those that have no tokens."""
        tokenizer = self._pipeline.model.tokenizer
        sizes = [len(tokenizer.word(word)) for word in example.words]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        room = self._pipeline.manifest.max_tokens - TEXT_SPECIALS
        word_of = np.repeat(np.arange(len(sizes)), sizes)
        firsts = [int(start) for start, size in zip(starts, sizes, strict=False) if size]
        for begin, end in cut_between(firsts, int(starts[-1]), room):
            yield int(word_of[begin]), int(word_of[end - 1]) + 1

    def _ask(
        self,
        task: Task[In, Options, list[Out]],
        inputs: Sequence[In],
        options: Options,
        examples: Sequence[Example],
    ) -> list[Out]:
        """The answers to all inputs, each of which is of the example beside it."""
        found: list[Out] = []
        size = self._running.batch_size
        for start in progress(range(0, len(inputs), size), task.name):
            some = inputs[start : start + size]
            with _explained(examples[start : start + size]):
                found += asyncio.run(self._pipeline.run(task, some, options)).value
        return found


def about(manifest: ModelManifest) -> About:
    """What the manifest of a model folder says; a `TrainingError` where no task is measured."""
    kinds = [kind for kind, head in HEADS.items() if head.name in manifest.heads]
    if len(kinds) != 1:
        raise TrainingError(
            f"The model {manifest.name} has the heads {', '.join(manifest.heads) or 'none'}; "
            f"expected is one of {', '.join(head.name for head in HEADS.values())}."
        )
    (kind,) = kinds
    return About(
        name=manifest.name,
        kind=kind,
        labels=() if kind == "question" else manifest.labels,
        problem=problem_of(manifest) if kind == "sequence" else None,
        precision=manifest.precision,
        weights_sha256=manifest.files["model.onnx.data"].sha256,
    )


def _starts(words: Sequence[str]) -> list[int]:
    """Where each word starts, with a blank between two.

    >>> _starts(["ab", "c"])
    [0, 3]
    """
    return [0, *(int(end) for end in np.cumsum([len(word) + 1 for word in words[:-1]]))]


@contextmanager
def _explained(examples: Sequence[Example]) -> Iterator[None]:
    """Say which row it is that the server refuses."""
    try:
        yield
    except ClozeError as error:
        raise _refused(error, examples) from None


def _refused(error: ClozeError, examples: Sequence[Example]) -> TrainingError:
    number = (error.param or "").removeprefix("inputs[").partition("]")[0]
    place = f"{examples[int(number)].place}: " if number.isdecimal() else ""
    return TrainingError(f"{place}{error.message}")
