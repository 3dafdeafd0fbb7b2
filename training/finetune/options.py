"""Flags in, the options of a fine-tuning out: each with its purpose and its default."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from training.errors import TrainingError


def _option(default: object, kind: Callable[[str], object], purpose: str) -> Any:
    return field(default=default, metadata={"type": kind, "help": purpose})


@dataclass(frozen=True)
class Options:
    """How a task is learnt. Defaults are of Devlin et al. 2018, A.3, and of their code."""

    epochs: int = _option(3, int, "passes over the training data")
    rate: float = _option(5e-5, float, "highest learning rate")
    batch_size: int = _option(32, int, "examples (or parts of long ones) per step")
    max_tokens: int | None = _option(
        None, int, "longest input; default: 128, questions 384, or what the model has room for"
    )
    overlap: int = _option(128, int, "tokens that neighbouring windows of a long context share")
    patience: int = _option(2, int, "epochs without a better dev measure before it stops")
    warm_up: float = _option(0.1, float, "share of the steps in which the rate rises")
    dropout: float | None = _option(None, float, "default: the checkpoint's own")
    seed: int = _option(0, int, "of the new layer, of dropout and of the order of examples")

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{flag(name)} must be at least 1.")
        if not self.rate > 0:
            raise TrainingError("--rate must be above 0.")
        for name in ("warm_up", "dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise TrainingError(f"{flag(name)} must be at least 0 and below 1.")
        for name in ("overlap", "seed"):
            if getattr(self, name) < 0:
                raise TrainingError(f"{flag(name)} must not be negative.")


def flag(name: str) -> str:
    """An option as it is written on the command line.

    >>> flag("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare a flag for each option."""
    for entry in fields(Options):
        kind, purpose = entry.metadata["type"], entry.metadata["help"]
        shown = purpose if entry.default is None else f"{purpose} (default: {entry.default})"
        parser.add_argument(
            flag(entry.name),
            type=kind,
            default=entry.default,
            help=shown,
            metavar="N" if kind is int else "X",
        )


def chosen_options(arguments: argparse.Namespace) -> Options:
    """The options that the flags say."""
    return Options(**{entry.name: getattr(arguments, entry.name) for entry in fields(Options)})
