"""A tiny random BERT, as transformers itself saves it, and a place for files of examples."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.training.finetune.toy_tasks import PIECES
from training.data.read import read_rows

Write = Callable[[str, Sequence[Any]], Path]


def read(path: Path, example: type[Any]) -> Any:
    """The examples of a file, with their labels as the file has them."""
    return [example.of(record) for record in read_rows(path, example.ROLES).records]


@pytest.fixture(autouse=True, scope="session")
def quiet_transformers() -> Iterator[None]:
    """Progress bars and reports of transformers are no part of what is tested."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity_warning()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder: 2 layers of odd sizes, and more rows than word pieces."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(PIECES) + 3,
        hidden_size=36,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=52,
        max_position_embeddings=61,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.1,
    )
    transformers.BertForPreTraining(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    transformers.BertTokenizer(vocab={p: i for i, p in enumerate(PIECES)}).save_pretrained(folder)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write("train.jsonl", examples)`: a file of JSON lines; a string is written as it is."""

    def write(name: str, examples: Sequence[Any]) -> Path:
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in examples]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
