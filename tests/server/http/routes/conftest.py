"""Small random models of sentence-transformers and transformers, served to be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import copytree
from typing import Any, Final

import pytest
import sentence_transformers
import torch
import transformers
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.sentence_folders import HIDDEN, base, edit, save_cross_encoder, save_sentences

Load = Callable[[str], Any]

CROSS_ENCODERS: Final = ("ms-marco", "stsb")
EMBEDDERS: Final = ("weighted", "labse")
# Labels in orders and numbers that people publish.
INFERENCE: Final = {
    "entailment-last": ("contradiction", "neutral", "entailment"),
    "entailment-first": ("Entailment", "neutral", "contradiction"),
    "entailment-or-not": ("not_entailment", "entailment"),
}


SPLADE: Final = "splade"
BGE_M3: Final = "m3"


@pytest.fixture(scope="session")
def library_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints, each under the name of its model."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("library-checkpoints")
    for name in CROSS_ENCODERS:
        save_cross_encoder(name, folder / name)
    for name in EMBEDDERS:
        save_sentences(name, folder / name)
    for name, labels in INFERENCE.items():
        _save_inference(folder / name, labels)
    _save_splade(folder / SPLADE)
    _save_short("BertModel", folder / BGE_M3)
    for name, layer in bge_heads().items():
        torch.save(layer.state_dict(), folder / BGE_M3 / f"{name}.pt")
    return folder


def _save_splade(folder: Path) -> None:
    transformer = Transformer(str(base("BertForMaskedLM")), transformer_task="fill-mask")
    transformer.max_seq_length = 23
    model = sentence_transformers.SparseEncoder(
        modules=[transformer, SpladePooling("max")], device="cpu", prompts={"query": "find the "}
    )
    model.save_pretrained(str(folder), create_model_card=False)


def _save_short(architecture: str, folder: Path) -> None:
    copytree(base(architecture), folder)
    edit(folder / "tokenizer_config.json", model_max_length=23, tokenizer_class="BertTokenizer")


def bge_heads() -> dict[str, torch.nn.Linear]:
    """The heads of BGE-M3 with random weights."""
    torch.manual_seed(3)
    widths = {"sparse_linear": 1, "colbert_linear": HIDDEN}
    return {name: torch.nn.Linear(HIDDEN, width) for name, width in widths.items()}


def _save_inference(folder: Path, labels: Sequence[str]) -> None:
    copytree(base("BertForSequenceClassification", len(labels)), folder)
    numbered = dict(enumerate(labels))
    edit(
        folder / "config.json",
        id2label=numbered,
        label2id={label: number for number, label in numbered.items()},
    )
    edit(folder / "tokenizer_config.json", model_max_length=40, tokenizer_class="BertTokenizer")


@pytest.fixture(scope="session")
def library_server(
    library_checkpoints: Path, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> RunningServer:
    """A server of all of them in float32; one that embeds and nothing else answers at the root."""
    models = tmp_path_factory.mktemp("library-models")
    for checkpoint in sorted(library_checkpoints.iterdir()):
        read = read_checkpoint(checkpoint, allow_pickle=checkpoint.name == BGE_M3)
        export_model(
            read,
            models / checkpoint.name,
            precision="fp32",
            progress=lambda _line: None,
        )
    return serve(models, threads=1, intra_op=1, default_model="labse", max_inputs=2048)


@pytest.fixture(scope="session")
def library(library_checkpoints: Path) -> Load:
    """`library("stsb")`: the model as sentence-transformers or transformers loads it."""
    loaded: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in loaded:
            loaded[name] = _load(name, str(library_checkpoints / name))
        return loaded[name]

    return load


def _load(name: str, folder: str) -> Any:
    if name in CROSS_ENCODERS:
        return sentence_transformers.CrossEncoder(folder, device="cpu")
    if name in EMBEDDERS:
        return sentence_transformers.SentenceTransformer(folder, device="cpu")
    if name == SPLADE:
        return sentence_transformers.SparseEncoder(folder, device="cpu")
    if name == BGE_M3:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        return tokenizer, transformers.AutoModel.from_pretrained(folder).eval(), bge_heads()
    return transformers.pipeline("zero-shot-classification", folder, device="cpu")
