"""A folder that fine-tuning wrote, or transformers, in; a model that answers in float32 out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor

from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.labels import with_labels
from models.heads import POOLER, Reads
from models.manifest import ModelManifest
from models.probabilities import sigmoid, softmax, unchanged
from training.checkpoint import read_weights
from training.config import CONFIG_FILE, BertConfig, read_config, read_shape
from training.errors import TrainingError, refusing
from training.evaluate.inference import evaluating, progress, weights_digest
from training.evaluate.labelled.task_model import HEADS, About, Float64, Found, Running, Tags
from training.finetune.data import QuestionExample, SequenceExample, TokenExample
from training.finetune.inputs import WINDOW_BATCHES, Input, InputBatch, WordPieces
from training.finetune.labelling import Problem
from training.finetune.labels import split_sequences, word_inputs
from training.finetune.loop import predict
from training.finetune.preparation import longest_input
from training.finetune.questions import choose, question_inputs
from training.finetune.task import BertHead, Float32
from training.model import BertModel


class Checkpoint:
    """A BERT with the head of one task."""

    def __init__(self, folder: Path, running: Running, device: torch.device) -> None:
        """Read `folder`. Raises `TrainingError` where it is no such model."""
        config = read_config(folder)
        kind = task_of(folder)
        head = HEADS[kind]
        pooled = head.reads is Reads.POOLED
        tensors, found = read_weights(folder, heads=[head.name, *([POOLER.name] if pooled else [])])
        if head.name not in found:
            raise TrainingError(
                f"{folder} has no weights of the head that architectures in {CONFIG_FILE} names, "
                f"{head.architectures[0]}."
            )
        bias = tensors[f"{next(iter(head.modules.values()))}.bias"]
        labelled = _labelled(folder, len(bias)) if head.by_label else None
        labels = labelled.labels if labelled else ()
        self._model = BertHead(BertModel(config), head, len(labels))
        self._model.load_state_dict(tensors)
        self._model.to(device)
        longest = _longest(kind, config, running.max_tokens)
        self._pieces = WordPieces(folder, max_tokens=longest, vocab_size=config.vocab_size)
        self._running = running
        problem = problem_of(labelled) if labelled and kind == "sequence" else None
        self.about = About(
            folder.resolve().name, kind, labels, problem, "fp32", weights_digest(tensors)
        )

    def scores(self, examples: Sequence[SequenceExample]) -> Float64:
        """As `TaskModel` has it."""
        problem = self.about.problem or Problem.CLASSES
        split = split_sequences(
            examples, labels=self.about.labels, pieces=self._pieces, problem=problem
        )
        logits = np.concatenate(self._logits(split.inputs))
        if problem is Problem.NUMBER:
            return unchanged(logits)
        return sigmoid(logits) if problem is Problem.SEVERAL else softmax(logits)

    def tags(self, examples: Sequence[TokenExample]) -> list[Tags]:
        """As `TaskModel` has it."""
        inputs: list[Input] = []
        sentences: list[int] = []  # of each input
        encodings = self._pieces.of([list(example.words) for example in examples], words=True)
        for number, (example, encoding) in enumerate(zip(examples, encodings, strict=True)):
            # As targets stand the words' own numbers, so that each row says which word it is of.
            parts = list(word_inputs(encoding, range(len(example.words)), self._pieces))
            inputs += parts
            sentences += [number] * len(parts)
        found: list[Tags] = [[None] * len(example.words) for example in examples]
        for number, part, logits in zip(sentences, inputs, self._logits(inputs), strict=True):
            for word, label in zip(part.targets.tolist(), logits.argmax(axis=1), strict=True):
                found[number][int(word)] = self.about.labels[label]
        return found

    def answers(self, examples: Sequence[QuestionExample], *, abstain: bool) -> list[Found]:
        """As `TaskModel` has it."""
        windows = question_inputs(examples, self._pieces, overlap=self._running.overlap)
        logits = self._logits(windows.inputs)
        contexts = [example.context for example in examples]
        return [Found(*one) for one in choose(contexts, windows.places, logits, abstain=abstain)]

    def close(self) -> None:
        """As `TaskModel` has it."""

    def _logits(self, inputs: Sequence[Input]) -> list[Float32]:
        step = self._running.batch_size * WINDOW_BATCHES
        logits: list[Float32] = []
        with evaluating(self._model):
            for start in progress(range(0, len(inputs), step), self.about.name):
                part = inputs[start : start + step]
                logits += predict(self._model, part, _no_loss, self._running.batch_size).logits
        if not all(np.isfinite(values).all() for values in logits):
            raise TrainingError(f"{self.about.name} computes logits that are not finite numbers.")
        return logits


def task_of(folder: Path) -> str:
    """The task that a checkpoint's class has the head of, one of `HEADS`."""
    with refusing(folder):
        named = Fields.of(folder / CONFIG_FILE).values.get("architectures")
    classes = {name: kind for kind, head in HEADS.items() for name in head.architectures}
    found = [classes[name] for name in named or [] if name in classes] if _is_list(named) else []
    if not found:
        said = f"names {named[0]}" if _is_list(named) and named else "names no class"
        raise TrainingError(
            f"{folder} has no head to measure: architectures in its {CONFIG_FILE} {said}; expected "
            f"is one of {', '.join(classes)}."
        )
    return found[0]


def problem_of(labelled: EncoderConfig | ModelManifest) -> Problem:
    """What is learnt of a text's label: a single label that is no number has a probability."""
    if labelled.regression:
        return Problem.NUMBER
    several = labelled.multi_label or len(labelled.labels) == 1
    return Problem.SEVERAL if several else Problem.CLASSES


def _is_list(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _labelled(folder: Path, rows: int) -> EncoderConfig:
    with refusing(folder):
        return with_labels(read_shape(folder), Fields.of(folder / CONFIG_FILE), rows)


def _longest(kind: str, config: BertConfig, asked: int | None) -> int:
    """Tokens of the longest input: as a server reads it, where nothing was asked for."""
    if asked is None and kind != "question":
        return config.max_position_embeddings
    return longest_input(kind, config, asked)


def _no_loss(logits: Tensor, _: InputBatch) -> Tensor:
    return torch.zeros((), device=logits.device)
