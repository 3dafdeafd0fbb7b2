"""A row in, a small checkpoint of the same making out: random weights, real classes and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from tests.checkpoints.row import NER, NORMALIZE, RERANKER, SPLADE, Row
from tests.checkpoints.tokenizers import LONGEST, write_tokenizer

SEED: Final = 20181011
NOISE: Final = 0.2  # of biases and norms, which would be 0 and 1
_BERT: Final = {
    "hidden_size": 36,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 60,
    "max_position_embeddings": LONGEST + 2,  # RoBERTa's begin at 2
    "initializer_range": 0.2,
}
_SIZES: Final[dict[str, dict[str, Any]]] = {
    "bert": _BERT,
    "roberta": _BERT | {"type_vocab_size": 1},
    "xlm-roberta": _BERT | {"type_vocab_size": 1},
    "camembert": _BERT | {"type_vocab_size": 1},
    "mpnet": _BERT,
    "electra": _BERT | {"embedding_size": 24},
    "distilbert": {
        "dim": 36, "n_layers": 2, "n_heads": 3, "hidden_dim": 60, "initializer_range": 0.2,
        "max_position_embeddings": LONGEST,
    },
    "albert": _BERT | {"embedding_size": 24},
    "nomic_bert": _BERT,
    "deberta-v2": _BERT | {
        "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm",
        "share_att_key": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False,
        "type_vocab_size": 0, "max_relative_positions": -1, "pooler_hidden_size": 36,
    },
    "modernbert": _BERT | {
        "num_hidden_layers": 4, "local_attention": 8, "num_attention_heads": 3,
        "hidden_size": 48,
    },
}  # fmt: skip


def make(row: Row, folder: Path) -> None:
    """Write the checkpoint of a row into `folder`, which is created."""
    folder.mkdir(parents=True)
    size, padding = write_tokenizer(row.tokenizer, folder)
    if not hasattr(transformers, row.architecture) or row.model_type not in _SIZES:
        _write_config(row, folder, size)
        return
    torch.manual_seed(SEED)
    sizes = {"vocab_size": size, "pad_token_id": padding, **_SIZES[row.model_type]}
    config = transformers.AutoConfig.for_model(row.model_type, **sizes, **_labels(row))
    for name, value in row.config.items():
        setattr(config, name, value)
    model = getattr(transformers, row.architecture)(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 1:
                weights.add_(NOISE * torch.randn_like(weights))
    model.save_pretrained(folder)
    if SPLADE in row.modules:
        _list_modules(row, folder)
    elif row.modules and not row.refused:  # the tokenizer is refused whatever modules there are
        _add_modules(row, folder)


def _labels(row: Row) -> dict[str, Any]:
    if not row.labels:
        return {}
    names = [f"label {index}" for index in range(row.labels)]
    if row.kind == RERANKER:
        names = ["LABEL_0"]
    elif row.kind == NER:
        names = ["O", *(f"{mark}-{index}" for index in range(row.labels) for mark in "BI")]
        names = names[: row.labels]
    numbered = dict(enumerate(names))
    return {"id2label": numbered, "label2id": {name: at for at, name in numbered.items()}}


def _write_config(row: Row, folder: Path, size: int) -> None:
    """What the exporter looks at before it comes to weights, of a model that it refuses there."""
    fields: dict[str, Any] = {"model_type": row.model_type, "architectures": [row.architecture]}
    fields |= {"vocab_size": size, **_BERT, **row.config}
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")


def _add_modules(row: Row, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (a second to import)
    from sentence_transformers.sentence_transformer import modules as known  # noqa: PLC0415

    transformer = known.Transformer(str(folder), max_seq_length=LONGEST)
    modules: list[Any] = [transformer]
    width = transformer.get_embedding_dimension()
    for module in row.modules:
        if module == NORMALIZE:
            modules.append(known.Normalize())
        elif module.startswith("Dense"):
            activation = getattr(torch.nn, module.removeprefix("Dense "))()
            modules.append(known.Dense(width, width // 2, activation_function=activation))
        else:
            modules.append(known.Pooling(width, pooling_mode=module))
    whole = SentenceTransformer(modules=modules, prompts=dict(row.prompts), device="cpu")
    whole.save(str(folder))


def _list_modules(row: Row, folder: Path) -> None:
    """Their names alone, of a sparse encoder, which is refused by them."""
    kinds = ["MLMTransformer", *row.modules]
    listed = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.sparse_encoder.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
