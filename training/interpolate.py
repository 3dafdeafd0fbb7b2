"""Two checkpoints of one model in, a checkpoint between them out.

Where a second run teaches something new and takes a little of the old away, a point between its
start and its end often keeps nearly all of both (Wortsman et al. 2022, arXiv:2109.01903). It works
because the second run began at the first checkpoint; models that were trained apart have nothing
good between them.
"""

import argparse
from pathlib import Path

import torch

from training.checkpoint import load_pretraining, save_checkpoint
from training.errors import TrainingError
from training.vocabulary import read_tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m training interpolate`."""
    parser.add_argument("first", type=Path, help="the checkpoint that the second began with")
    parser.add_argument("second", type=Path, help="the checkpoint at the end of its run")
    parser.add_argument("out", type=Path, help="the new checkpoint; replaced when there")
    parser.add_argument(
        "--share", type=float, default=0.5, help="of the second, from 0 to 1 (default 0.5)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write (1 - share) x first + share x second, weight by weight, in float32.

    Both have the heads of pre-training. Raises `TrainingError` for a share outside 0 to 1 and for
    checkpoints of different shapes or tokenizers.
    """
    first, second, share = arguments.first, arguments.second, arguments.share
    if not 0 <= share <= 1:
        raise TrainingError("`--share` lies between 0 and 1.")
    start, end = load_pretraining(first), load_pretraining(second)
    # A run may train with another dropout than the one before it.
    if start.config.with_dropout(0) != end.config.with_dropout(0):
        raise TrainingError(f"{first} and {second} are models of different shapes.")
    if read_tokenizer(first).to_str() != read_tokenizer(second).to_str():
        raise TrainingError(f"{first} and {second} have different tokenizers.")
    starts = start.state_dict()
    with torch.no_grad():
        for name, values in end.state_dict().items():
            values.copy_(starts[name].lerp(values, share))
    save_checkpoint(arguments.out, end, second, embeddings=True)
