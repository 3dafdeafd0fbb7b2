"""A small corpus whose hidden words can be told from their neighbours, and ways to run commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.training.small_corpus import write_tokenizer
from training.__main__ import main
from training.corpus import build_corpus

REPOSITORY = Path(__file__).parents[3]

# Each animal does its own thing in its own place: a word tells the others of its sentence.
_FACTS = ("the cat sat on the mat.", "a dog ran on a park.", "the dog playing a mat mat!")
# A run of a few seconds: bert-tiny, sequences of 32 tokens.
SMALL_RECIPE = (
    *("--init", "bert-tiny", "--sequence-tokens", "32", "--batch-tokens", "512"),
    *("--tokens", str(512 * 12), "--rate", "2e-3", "--dropout", "0.1"),
)

Train = Callable[..., None]


@pytest.fixture(scope="session")
def corpus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred documents, each about one of the facts; some of them held out."""
    rng = np.random.default_rng(11)
    documents = [
        " ".join([_FACTS[rng.integers(len(_FACTS))]] * int(rng.integers(4, 9))) + "\n"
        + "".join(f"a {'cat' if number >> bit & 1 else 'dog'} ran. " for bit in range(8))
        for number in range(200)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    write_tokenizer(folder)
    build_corpus([folder / "text.txt"], folder, folder / "corpus", held_out=0.1)
    return folder / "corpus"


def command(*arguments: str | Path) -> list[str]:
    """The command line of `python -m training …`, for runs that are stopped."""
    return [sys.executable, "-m", "training", *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread per process: the tests' models are too small for more."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def pretrain_here(corpus: Path, out: Path, *flags: str) -> None:
    """As `python -m training pretrain`, in this process: to import torch anew takes seconds."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        main(["pretrain", *map(str, (corpus, out)), *SMALL_RECIPE, *flags])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def pretrain(corpus_folder: Path) -> Train:
    """Run `pretrain` on the small corpus to its end."""
    return partial(pretrain_here, corpus_folder)
