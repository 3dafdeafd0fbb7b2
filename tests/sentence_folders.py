"""A name in, a folder as sentence-transformers saves it out: small random models of every kind.

Each kind is a chain of modules with settings that change its answers, so that one which is dropped
on the way to a model folder shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import sentence_transformers
import torch
import transformers
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)

VOCABULARY: Final = Path(__file__).parent / "export" / "data" / "vocab.txt"
HIDDEN: Final = 32
POSITIONS: Final = 40
SEED: Final = 20181011
PROMPTS: Final = {
    "query": "find the ",
    "passage": "text: ",
    "none": "",
    "longer than any text": "the cat sat on the mat and ran, a dog ran: " * 3,
}
# Ragged, in scripts that the vocabulary has and has not, and one beyond every limit below.
TEXTS: Final = (
    "the cat sat",
    "a",
    "The café: na\u00efve, \u6771\u4eac!",
    "paris " * 9 + "the end of it",
    "the dog and the cat and the man sat in the town of paris, and it was " * 3,
)


@dataclass(frozen=True)
class Kind:
    """What sentence-transformers makes a model of."""

    modules: Callable[[], list[Any]]
    max_tokens: int = 23
    options: Mapping[str, Any] = field(default_factory=dict)
    truncation_side: str = "right"


def _labse() -> list[Any]:
    return [Pooling(HIDDEN, "cls"), Dense(HIDDEN, HIDDEN), Normalize()]


def _several() -> list[Any]:
    return [Pooling(HIDDEN, ("max", "lasttoken", "cls", "mean"), include_prompt=False)]


def _deep() -> list[Any]:
    nn = torch.nn
    return [
        Pooling(HIDDEN, ("weightedmean", "max")),
        Dense(2 * HIDDEN, 20, bias=False, activation_function=nn.GELU()),
        LayerNorm(20),
        Dropout(0.3),
        Dense(20, 36, activation_function=nn.SiLU()),
        Normalize(),
        Dense(36, 24, activation_function=nn.ReLU()),
        Dense(24, 28, activation_function=nn.Sigmoid()),
        Dense(28, 26, activation_function=nn.Identity()),
    ]


_ASKING: Final = {"prompts": PROMPTS, "default_prompt_name": "query"}
KINDS: Final[Mapping[str, Kind]] = {
    "sqrt": Kind(lambda: [Pooling(HIDDEN, "mean_sqrt_len_tokens")], 11),
    "weighted": Kind(
        lambda: [Pooling(HIDDEN, "weightedmean", include_prompt=False), Normalize()],
        options=_ASKING | {"similarity_fn_name": "dot"},
    ),
    "last": Kind(lambda: [Pooling(HIDDEN, "lasttoken")], 9, truncation_side="left"),
    "max": Kind(
        lambda: [Pooling(HIDDEN, "max", include_prompt=False)], 7, _ASKING, truncation_side="left"
    ),
    "cls": Kind(lambda: [Pooling(HIDDEN, "cls", include_prompt=False)], options=_ASKING),
    "labse": Kind(_labse, options=_ASKING | {"truncate_dim": 19}),
    "several": Kind(_several, options=_ASKING | {"truncate_dim": 100}),
    "deep": Kind(_deep, options={"prompts": PROMPTS}),
}


@dataclass(frozen=True)
class CrossKind:
    """What sentence-transformers makes a cross-encoder of."""

    labels: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    truncation_side: str = "right"


CROSS_KINDS: Final[Mapping[str, CrossKind]] = {
    "ms-marco": CrossKind(options={"activation_fn": torch.nn.Identity(), "max_length": 17}),
    "stsb": CrossKind(truncation_side="left", options={"max_length": 9}),
    "nli": CrossKind(3),
    "softmax": CrossKind(3, {"activation_fn": torch.nn.Softmax(dim=-1)}),
}


def save_sentences(name: str, folder: Path) -> Path:
    """Write the model of one of `KINDS` into `folder`."""
    kind = KINDS[name]
    transformer = Transformer(str(base("BertModel")))
    transformer.max_seq_length = kind.max_tokens
    torch.manual_seed(SEED)
    modules = kind.modules()
    for module in modules:
        _spread(module)
    model = sentence_transformers.SentenceTransformer(
        modules=[transformer, *modules], device="cpu", **kind.options
    )
    model.save_pretrained(str(folder), create_model_card=False)
    edit(folder / "tokenizer_config.json", truncation_side=kind.truncation_side)
    return folder


def save_cross_encoder(name: str, folder: Path) -> Path:
    """Write the model of one of `CROSS_KINDS` into `folder`."""
    kind = CROSS_KINDS[name]
    model = sentence_transformers.CrossEncoder(
        str(base("BertForSequenceClassification", kind.labels)), device="cpu", **kind.options
    )
    model.save_pretrained(str(folder), create_model_card=False)
    edit(folder / "tokenizer_config.json", truncation_side=kind.truncation_side)
    return folder


def edit(path: Path, **changes: object) -> None:
    """Set fields of a JSON file, which is made if it is not there; None deletes."""
    values = json.loads(path.read_text()) if path.is_file() else {}
    kept = {name: value for name, value in (values | changes).items() if value is not None}
    path.write_text(json.dumps(kept))


@cache
def base(architecture: str, labels: int = 2) -> Path:
    """A folder with a random BERT of transformers, made once; leave it as it is."""
    folder = Path(_scratch().name) / f"{architecture}-{labels}"
    config = transformers.BertConfig(
        vocab_size=61,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        num_labels=labels,
    )
    torch.manual_seed(SEED)
    model = getattr(transformers, architecture)(config)
    _spread(model)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(VOCABULARY.read_bytes())
    return folder


def _spread(module: torch.nn.Module) -> None:
    """Random weights of a size that matters, biases and norms too."""
    for name, parameter in module.named_parameters():
        sharp = ".query." in name or ".key." in name
        torch.nn.init.normal_(parameter, std=0.5 if sharp else 0.2)
        parameter.data += name.endswith(("LayerNorm.weight", "norm.weight"))


@cache
def _scratch() -> TemporaryDirectory[str]:
    """A folder that is gone when the process ends."""
    return TemporaryDirectory(prefix="random-berts-")
