"""A row in, a small checkpoint of the same making out: random weights, real classes and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from tests.checkpoints.rows import EMBEDDING, NORMALIZE, RERANKER, Row
from tests.checkpoints.texts import TEXTS
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
    size = write_tokenizer(row.tokenizer, TEXTS[row.language], folder)
    if row.refused:
        _write_refused(row, folder, size)
        return
    torch.manual_seed(SEED)
    config = transformers.AutoConfig.for_model(
        row.model_type, vocab_size=size, **_SIZES[row.model_type], **_labels(row), **_ids(folder)
    )
    for name, value in row.config.items():
        setattr(config, name, value)
    model = getattr(transformers, row.architecture)(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 1:
                weights.add_(NOISE * torch.randn_like(weights))
    model.save_pretrained(folder)
    if row.modules:
        _add_modules(row, folder)


def _labels(row: Row) -> dict[str, Any]:
    if not row.labels:
        return {}
    names = [f"label {index}" for index in range(row.labels)]
    if row.kind == RERANKER:
        names = ["LABEL_0"]
    elif row.architecture.endswith("TokenClassification"):
        names = ["O", *(f"{mark}-{index}" for index in range(row.labels) for mark in "BI")]
        names = names[: row.labels]
    numbered = dict(enumerate(names))
    return {"id2label": numbered, "label2id": {name: at for at, name in numbered.items()}}


def _ids(folder: Path) -> dict[str, int]:
    """Ids that a configuration repeats: RoBERTa finds its first position by that of padding."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    return {"pad_token_id": tokenizer.pad_token_id}


def _write_refused(row: Row, folder: Path, size: int) -> None:
    """What the exporter looks at before it comes to weights, and weights that it never opens."""
    fields: dict[str, Any] = {"model_type": row.model_type, "architectures": [row.architecture]}
    fields |= {"vocab_size": size, **_BERT, **row.config}
    (folder / "config.json").write_text(json.dumps(fields))
    if row.model_type in {"bert", "roberta"} and "auto_map" not in row.config:
        model = getattr(transformers, row.architecture)(
            transformers.AutoConfig.for_model(row.model_type, vocab_size=size, **_BERT)
        )
        model.save_pretrained(folder)
    options = json.loads((folder / "tokenizer_config.json").read_text())
    options["tokenizer_class"] = row.tokenizer.saved_as
    (folder / "tokenizer_config.json").write_text(json.dumps(options))


def _add_modules(row: Row, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (a second to import)
    from sentence_transformers.models import Dense, Normalize, Pooling, Transformer  # noqa: PLC0415

    transformer = Transformer(str(folder), max_seq_length=LONGEST)
    modules: list[Any] = [transformer]
    width = transformer.get_embedding_dimension()
    for module in row.modules:
        if module == NORMALIZE:
            modules.append(Normalize())
        elif module.startswith("Dense"):
            activation = getattr(torch.nn, module.removeprefix("Dense "))()
            modules.append(Dense(width, width // 2, activation_function=activation))
        else:
            modules.append(Pooling(width, pooling_mode=module))
    SentenceTransformer(modules=modules, prompts=dict(row.prompts), device="cpu").save(str(folder))


def is_embedded_by_modules(row: Row) -> bool:
    """Whether sentence-transformers is the one to say what the answer is."""
    return row.kind == EMBEDDING and bool(row.modules)
