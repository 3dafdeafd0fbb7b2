"""Each tokenizer of the rows on odd texts: the server's own tokens are those of transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export.read.tokenizer import read_tokenizer
from models.manifest import TOKENIZER_FILE
from server.errors import EmptyText
from server.inference.tokenizer import Tokenizer
from tests.checkpoints.answers import load_tokenizer
from tests.checkpoints.row import FILL_MASK, Row
from tests.checkpoints.rows import TOKENIZED
from tests.checkpoints.texts import EVERY
from tests.checkpoints.tokenizers import write_tokenizer
from tests.odd_texts import ODD_TEXTS

SECOND = "the cat's mat"


def written(row: Row, folder: Path) -> tuple[Tokenizer, Any]:
    """The row's tokenizer as the server has it, and as transformers loads it."""
    size, _ = write_tokenizer(row.tokenizer, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": row.model_type, **row.config}))
    found = read_tokenizer(folder, rows=size, needs_mask=row.kind == FILL_MASK)
    own = folder / "own"
    own.mkdir()
    (own / TOKENIZER_FILE).write_text(found.json, encoding="utf-8")
    return Tokenizer(own / TOKENIZER_FILE, found.spec), load_tokenizer(row, folder)


def differences(ours: Tokenizer, theirs: Any) -> Iterator[tuple[str, str]]:
    """What differs, and in which text."""
    second = ours.pieces(SECOND, 512, truncate=False, param="p").ids
    for text in (*ODD_TEXTS, *EVERY):
        try:
            found = ours.pieces(text, 512, truncate=False, param="p").ids
        except EmptyText:
            found = []
        if found != theirs(text, add_special_tokens=False)["input_ids"]:
            yield "pieces", text
        if ours.assemble(found).ids.tolist() != theirs(text)["input_ids"]:
            yield "a text", text
        pair, wanted = ours.assemble(found, second), theirs(text, SECOND)
        if pair.ids.tolist() != wanted["input_ids"]:
            yield "a pair", text
        if pair.type_ids.tolist() != wanted.get("token_type_ids", [0] * len(pair.ids)):
            yield "segments", text


@pytest.mark.parametrize(
    "row", TOKENIZED, ids=lambda row: f"{row.tokenizer.told} of {row.model_type}"
)
def test_tokens_are_those_of_transformers(row: Row, tmp_path: Path) -> None:
    assert len(ODD_TEXTS) >= 100
    assert list(differences(*written(row, tmp_path))) == []
