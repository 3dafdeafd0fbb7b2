"""Every choice of a pre-training run, each declared once; read from a TOML file and from flags."""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.objectives import DISTILLATIONS

SCHEDULES = ("linear", "stable")
PRECISIONS = ("fp32", "bf16")


def _option(default: Any, purpose: str) -> Any:
    return field(default=default, metadata={"purpose": purpose})


@dataclass(frozen=True)
class Recipe:
    """What a run does; with the corpus and the code it determines the weights."""

    init: str = _option("bert-small", "a size by name, or the folder of any BERT encoder")
    tokens: int = _option(20_000_000, "tokens to train on, padding counted")
    batch_tokens: int = _option(4096, "tokens in one micro-batch of a process")
    accumulate: int = _option(1, "micro-batches per step")
    sequence_tokens: int = _option(128, "tokens in a pair of segments")
    long_tokens: int = _option(0, "tokens in a pair in the run's last part; 0 for no such part")
    long_part: float = _option(0.1, "share of the steps in that last part")
    int8_part: float = _option(0.0, "share of the steps, the last, that round as int8 export does")
    short: float = _option(0.1, "share of the pairs that aim at a random shorter length")
    single: float = _option(0.0, "share of the pairs made of one sentence each")
    mask_rate: float = _option(0.15, "share of the tokens to predict")
    mask_share: float = _option(0.8, "of those, the share that becomes [MASK]")
    random_share: float = _option(0.1, "of those, the share that becomes a random token")
    whole_words: bool = _option(False, "choose whole words instead of pieces")
    content_words: bool = _option(False, "choose frequent words less often")
    rate: float = _option(4e-4, "peak learning rate")
    rate_layer_decay: float = _option(1.0, "factor on the rate for each layer further down")
    warm_up: float = _option(0.05, "share of the steps over which the rate rises")
    schedule: str = _option("linear", f"the rate after it: {' or '.join(SCHEDULES)}")
    decay: float = _option(0.3, "with `stable`, the share of the steps over which it falls")
    heads_first: float = _option(0.0, "share of the steps that train the heads alone")
    weight_decay: float = _option(0.01, "AdamW's, not on biases and norms")
    beta2: float = _option(0.98, "AdamW's second moment")
    clip: float = _option(1.0, "largest norm of the gradient")
    dropout: float = _option(0.0, "dropout everywhere")
    next_sentence: float = _option(1.0, "weight of next-sentence prediction")
    distillation: float = _option(0.0, "weight of the sentence vectors' distance to a teacher's")
    teacher: str = _option("", "the teacher's folder")
    distance: str = _option("cosine", f"that distance: {' or '.join(DISTILLATIONS)}")
    sentences: int = _option(32, "sentences per micro-batch for it")
    precision: str = _option("fp32", f"of the products: {' or '.join(PRECISIONS)}")
    seed: int = _option(1, "of weights, pairs, masks and dropout")

    def __post_init__(self) -> None:
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise TrainingError(f"`{name}` is one of {', '.join(allowed)}.")
        for name in ("tokens", "batch_tokens", "accumulate", "sentences"):
            if getattr(self, name) < 1:
                raise TrainingError(f"`{name}` must be at least 1.")
        if not 0 <= self.int8_part <= 1:
            raise TrainingError("`int8_part` is a share, from 0 to 1.")
        if self.batch_tokens < max(self.sequence_tokens, self.long_tokens):
            raise TrainingError("`batch_tokens` must hold at least one sequence.")
        if self.distillation and not self.teacher:
            raise TrainingError("`distillation` needs a `teacher`.")

    def steps(self, processes: int) -> int:
        """Optimiser steps of the whole run.

        >>> Recipe(tokens=1_000_000, batch_tokens=4096, accumulate=4).steps(processes=2)
        31
        """
        return max(1, round(self.tokens / (self.batch_tokens * self.accumulate * processes)))

    def longer_from(self, processes: int) -> int:
        """The step from which sequences are longer; that after the last where none are."""
        steps = self.steps(processes)
        return round((1 - self.long_part) * steps) if self.long_tokens else steps

    def int8_from(self, processes: int) -> int:
        """The step from which products are rounded; that after the last where none are."""
        steps = self.steps(processes)
        return round((1 - self.int8_part) * steps)


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
    types = {option.name: type(option.default) for option in fields(Recipe)}
    if unknown := sorted(set(values) - set(types)):
        raise TrainingError(f"A recipe has no option `{unknown[0]}`.")
    for name, value in values.items():
        wanted = (int, float) if types[name] is float else types[name]
        if not isinstance(value, wanted) or isinstance(value, bool) != (types[name] is bool):
            raise TrainingError(f"`{name}` must be of type {types[name].__name__}.")
    return Recipe(**values)


def recipe_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values."""
    return asdict(recipe)


def add_recipe_flags(parser: argparse._ActionsContainer) -> None:
    """One flag per option; a flag that is not given leaves the recipe's value."""
    for option in fields(Recipe):
        assert option.default is not MISSING  # noqa: S101
        flag = f"--{option.name.replace('_', '-')}"
        text = f"{option.metadata['purpose']} (default {option.default})".replace("%", "%%")
        settings: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if isinstance(option.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **settings)
        else:
            parser.add_argument(flag, type=type(option.default), **settings)


def flag_values(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that were given as flags."""
    given: dict[str, Any] = vars(arguments)
    names = {option.name for option in fields(Recipe)}
    return {name: value for name, value in given.items() if name in names}
