"""Every choice of a pre-training run, each declared once; read from a TOML file and from flags."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from training.device import PRECISIONS
from training.errors import TrainingError
from training.optimiser import fall_steps, rise_and_fall
from training.options import option

SCHEDULES = ("linear", "stable")


def _share(default: float, purpose: str) -> Any:
    return option(default, f"share of {purpose}", share=True)


def _choice(default: str, purpose: str, choices: Sequence[str]) -> Any:
    return option(default, f"{purpose}: {' or '.join(choices)}", choices=choices)


@dataclass(frozen=True)
class Recipe:
    """What a run does; with the corpus and the code it determines the weights."""

    init: str = option("bert-small", "a size by name, or the folder of any BERT encoder")
    tokens: int = option(20_000_000, "tokens to train on, padding counted")
    batch_tokens: int = option(4096, "tokens in one micro-batch")
    accumulate: int = option(1, "micro-batches per step")
    sequence_tokens: int = option(128, "tokens in a pair of segments")
    long_tokens: int = option(0, "tokens in a pair in some of the steps; 0 for no such steps")
    long_part: float = _share(0.1, "the steps with these longer pairs, at even distances")
    int8_part: float = _share(0.0, "the steps, the last, that round as int8 export does")
    short: float = _share(0.1, "the pairs that aim at a random shorter length")
    single: float = _share(0.0, "the pairs made of one sentence each")
    alone: float = _share(0.0, "the sequences that are one sentence without a second segment")
    unmasked: float = _share(0.0, "the pairs that stay unmasked, for next sentences alone")
    rate: float = option(4e-4, "peak learning rate")
    warm_up: float = _share(0.05, "the steps over which the rate rises")
    schedule: str = _choice("linear", "the rate after it", SCHEDULES)
    decay: float = _share(0.3, "the steps over which it falls, with `stable`")
    average: float = _share(0.0, "a mean of the weights that a step keeps (0.999); 0 for no mean")
    dropout: float = _share(0.0, "the values that dropout leaves out, everywhere")
    next_sentence: float = option(1.0, "weight of next-sentence prediction")
    distillation: float = option(0.0, "weight of the sentence vectors' distance to a teacher's")
    teacher: str = option("", "the teacher's folder")
    sentences: int = option(32, "sentences per micro-batch for it")
    precision: str = _choice("fp32", "of the products", PRECISIONS)
    seed: int = option(1, "of weights, pairs, masks and dropout")

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, choices = getattr(self, entry.name), entry.metadata.get("choices")
            if choices and value not in choices:
                raise TrainingError(f"`{entry.name}` is one of {', '.join(choices)}.")
            if "share" in entry.metadata and not 0 <= value <= 1:
                raise TrainingError(f"`{entry.name}` is a share, from 0 to 1.")
        for name in ("tokens", "batch_tokens", "accumulate", "sentences"):
            if getattr(self, name) < 1:
                raise TrainingError(f"`{name}` must be at least 1.")
        if self.batch_tokens < max(self.sequence_tokens, self.long_tokens):
            raise TrainingError("`batch_tokens` must hold at least one sequence.")
        if self.distillation and not self.teacher:
            raise TrainingError("`distillation` needs a `teacher`.")

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run.

        >>> Recipe(tokens=1_000_000, batch_tokens=4096, accumulate=8).steps
        31
        """
        return max(1, round(self.tokens / (self.batch_tokens * self.accumulate)))

    def longer_before(self, step: int) -> int:
        """How many of the steps before `step` have longer sequences.

        They come at even distances, whose places do not depend on the length of the run.

        >>> recipe = Recipe(long_tokens=512, long_part=0.2)
        >>> [recipe.longer_before(step) for step in range(11)]
        [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2]
        """
        return int(step * self.long_part) if self.long_tokens else 0

    @property
    def int8_from(self) -> int:
        """The step from which products are rounded; that after the last where none are."""
        return round((1 - self.int8_part) * self.steps)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0.

        >>> Recipe(tokens=409_600, rate=1.0, warm_up=0.1).rate_at(9)
        1.0
        """
        return self.rate * rise_and_fall(step, self.steps, warm_up=self.warm_up, decay=self._decay)

    @property
    def ending_begins(self) -> int:
        """The first step of the run's end: a lower rate, or rounding."""
        fall = fall_steps(self.steps, warm_up=self.warm_up, decay=self._decay)
        return min(self.steps - fall, self.int8_from)

    @property
    def _decay(self) -> float | None:
        return self.decay if self.schedule == "stable" else None


def read_recipe(path: Path | None, overrides: dict[str, Any]) -> Recipe:
    """The recipe in a TOML file, or the default one, with `overrides` on top."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise TrainingError(f"{path} cannot be read as a recipe: {error}.") from None
    return make_recipe(values | overrides)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """A recipe from plain values, each of its declared type."""
    types = {entry.name: entry.metadata["kind"] for entry in fields(Recipe)}
    if unknown := sorted(set(values) - set(types)):
        raise TrainingError(f"A recipe has no option `{unknown[0]}`.")
    for name, value in values.items():
        wanted = (int, float) if types[name] is float else types[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TrainingError(f"`{name}` must be of type {types[name].__name__}.")
    return Recipe(**values)
