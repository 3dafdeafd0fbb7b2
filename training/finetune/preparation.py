"""Data, a checkpoint and options in, the task, the model with its fresh head and what fits out."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.checkpoint import load_encoder
from training.config import BertConfig, read_config
from training.errors import TrainingError
from training.finetune.defaults import fitted
from training.finetune.inputs import WordPieces
from training.finetune.source import Data
from training.finetune.task import BertHead, Options, Task

MAX_TOKENS = {"sequence": 128, "token": 128, "question": 384}
FEWEST_TOKENS = 8  # [CLS], [SEP] twice, and room for something between


@dataclass(frozen=True, eq=False)
class Ready:
    """All that `fit` wants."""

    task: Task
    model: BertHead
    options: Options  # none of them left open

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest input."""
        return self.options.max_tokens or self.model.config.max_position_embeddings

    @property
    def dropout(self) -> dict[str, float]:
        """As it is used, by its name in config.json."""
        names = ("hidden_dropout_prob", "attention_probs_dropout_prob")
        own = {name: float(getattr(self.model.config, name)) for name in names}
        given = self.options.dropout
        return own if given is None else dict.fromkeys(names, given)

    @property
    def intention(self) -> str:
        """A line for people."""
        options, rows = self.options, len(self.task.train.inputs)
        steps = math.ceil(rows / options.step_size)
        return (
            f"learns {options.epochs} epochs of {steps:,} steps with {options.step_size} inputs "
            f"each, at a rate of up to {options.rate:.3g}"
        )


def prepare(data: Data, checkpoint: Path, options: Options, device: torch.device) -> Ready:
    """Read the checkpoint's encoder and tokenizer, and make the data into inputs for them.

    Raises:
        TrainingError: one does not fit the other.
    """
    config = read_config(checkpoint)
    longest = longest_input(data.kind, config, options.max_tokens)
    pieces = WordPieces(checkpoint, max_tokens=longest, vocab_size=config.vocab_size)
    task = data.task(pieces, options)
    options = fitted(
        replace(options, max_tokens=longest),
        hidden=config.hidden_size,
        rows=len(task.train.inputs),
    )
    torch.manual_seed(options.seed)
    encoder = load_encoder(checkpoint, dropout=options.dropout)
    model = BertHead(encoder, task.head, len(task.labels)).to(device)
    # Its config.json says the architecture's dropout, for a later fine-tuning; the report, this.
    model.config = config
    return Ready(task, model, options)


def longest_input(kind: str, config: BertConfig, asked: int | None) -> int:
    """Tokens of the longest input: what was asked for, else the task's usual number."""
    positions = config.max_position_embeddings
    if asked is None:
        return min(MAX_TOKENS[kind], positions)
    if not FEWEST_TOKENS <= asked <= positions:
        raise TrainingError(
            f"--max-tokens must be from {FEWEST_TOKENS} to the {positions} positions of this model."
        )
    return asked
