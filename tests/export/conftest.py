"""Tiny random BERTs in odd sizes, as transformers itself saves them, for the tests of `export`."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from export.read.checkpoint import Checkpoint, read_checkpoint

DATA = Path(__file__).parent / "data"
# 61 pieces for 67 rows: tables are often padded beyond the vocabulary.
PIECES = (DATA / "vocab.txt").read_text(encoding="utf-8").splitlines()
SIZES: dict[str, Any] = {
    "vocab_size": 67,
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 29,
    "type_vocab_size": 2,
}
Save = Callable[..., Path]


def _spread(parameter: str) -> float:
    """Standard deviation of a random parameter.

    With one for all, the rows of a text come out the same after a few layers, and no test would see
    what attention does. It must be sharp, and what it adds to a row no larger than the row.
    """
    if ".query." in parameter or ".key." in parameter:
        return 1.0
    return 0.25 if ".value." in parameter or "output.dense" in parameter else 0.5


@pytest.fixture(autouse=True)
def quiet_transformers() -> Iterator[None]:
    """Progress bars and reports of transformers are no part of what is tested."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity_warning()


@pytest.fixture
def pieces() -> list[str]:
    """A vocabulary of 61 word pieces in English, Chinese and with accents."""
    return list(PIECES)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """`drawn("BertForMaskedLM", hidden_act="relu")`: a folder with a random model and vocab.txt.

    Sizes are `SIZES` unless given; `shard` bounds the size of a weight file. The same for whoever
    asks for the same: leave it as it is, or take a copy by `save`.
    """
    known: dict[str, Path] = {}

    def drawn(architecture: str = "BertModel", *, shard: str = "1GB", **config: Any) -> Path:
        key = repr((architecture, shard, config))
        if key not in known:
            folder = tmp_path_factory.mktemp("drawn") / architecture
            _draw(folder, architecture, shard, config)
            known[key] = folder
        return known[key]

    return drawn


def _draw(folder: Path, architecture: str, shard: str, config: dict[str, Any]) -> None:
    torch.manual_seed(11)
    model = getattr(transformers, architecture)(transformers.BertConfig(**SIZES | config))
    for name, parameter in model.named_parameters():
        # Biases and norms start as all zeros and ones.
        torch.nn.init.normal_(parameter, std=_spread(name))
        parameter.data += name.endswith("LayerNorm.weight")
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")


@pytest.fixture
def save(drawn: Save, tmp_path: Path) -> Save:
    """As `drawn`, a copy of the test's own."""

    def save(architecture: str = "BertModel", **options: Any) -> Path:
        own = tmp_path / architecture
        return shutil.copytree(drawn(architecture, **options), own, dirs_exist_ok=True)

    return save


@pytest.fixture
def bert(save: Save) -> Path:
    """A folder with a BertForPreTraining: both heads and the pooler."""
    return save("BertForPreTraining")


@pytest.fixture(scope="session")
def pretraining(drawn: Save) -> Checkpoint:
    """The same, read; nobody changes it."""
    return dataclasses.replace(read_checkpoint(drawn("BertForPreTraining")), name="tiny")


@pytest.fixture
def tiny_tf() -> Path:
    """The checkpoint that TensorFlow wrote (`data/make_tensorflow_checkpoint.py`)."""
    return DATA / "tiny_tf"


@pytest.fixture
def edit() -> Callable[..., None]:
    """`edit(path, hidden_act="relu", model_type=None)`: set fields of a JSON file, None deletes."""

    def edit(path: Path, **changes: Any) -> None:
        values = json.loads(path.read_text()) | changes
        kept = {name: value for name, value in values.items() if value is not None}
        path.write_text(json.dumps(kept))

    return edit
