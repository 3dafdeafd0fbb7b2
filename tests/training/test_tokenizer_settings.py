"""What a saved checkpoint says of its tokenizer, as transformers reads it."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from training.checkpoint import save_checkpoint
from training.config import BertConfig
from training.model import BertForPreTraining
from training.tokenizer_settings import settings_of

PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Été", "été", "Ete", "ete", "x", "中", "文"),
    *("中文", "."),
]
TEXT = "Été x. été 中文 [MASK]"


def tokenizer_folder(folder: Path, **normalizer: Any) -> Path:
    """A folder with no more than a tokenizer.json, as a corpus has it."""
    made = transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)})
    document = json.loads(made.backend_tokenizer.to_str())
    document["normalizer"] |= normalizer
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def model() -> BertForPreTraining:
    torch.manual_seed(1)
    return BertForPreTraining(BertConfig(len(PIECES), 12, 1, 3, 20, max_position_embeddings=33))


@pytest.mark.parametrize(
    ("lowercase", "accents", "chinese"), list(product([True, False], [None, True, False], [0, 1]))
)
def test_transformers_reads_texts_as_the_tokenizer_does(
    tmp_path: Path, lowercase: bool, accents: bool | None, chinese: int
) -> None:
    source = tokenizer_folder(
        tmp_path / "corpus", lowercase=lowercase, strip_accents=accents,
        handle_chinese_chars=bool(chinese),
    )  # fmt: skip
    save_checkpoint(tmp_path / "out", model(), source)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ours = Tokenizer.from_file(str(source / "tokenizer.json"))
    assert theirs(TEXT)["input_ids"] == ours.encode(TEXT).ids
    assert type(theirs).__name__.startswith("BertTokenizer")
    assert theirs.model_max_length == 33
    assert theirs.mask_token == "[MASK]"


@pytest.mark.parametrize(("before", "after"), [(20, 20), (512, 33), (1e30, 33), (None, 33)])
def test_longest_input_is_what_the_model_has_room_for(before: Any, after: int) -> None:
    settings = {"model_max_length": before, "padding_side": "left", "do_lower_case": True}
    made = settings_of({"normalizer": {"type": "BertNormalizer", "lowercase": False}}, settings, 33)
    assert made["model_max_length"] == after
    assert made["padding_side"] == "left"
    assert made["do_lower_case"] is False
