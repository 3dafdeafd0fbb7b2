"""A checkpoint's tokenizer files in, where Cloze's tokenizer differs from transformers' out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer

from export.read.tokenizer import read_tokenizer
from tests.odd_texts import ODD_TEXTS

ROWS = 1 << 20
SECOND = "the cat's mat"


def write_json(path: Path, document: object) -> None:
    """Write `document` as JSON."""
    path.write_text(json.dumps(document), encoding="utf-8")


def read(folder: Path, **options: Any) -> Tokenizer:
    """What the exporter makes of the tokenizer in `folder`, as the library reads it."""
    options = {"rows": ROWS, "needs_mask": False} | options
    return Tokenizer.from_str(read_tokenizer(folder, **options).json)


def differences(folder: Path, **options: Any) -> list[tuple[str, str]]:
    """What differs from `AutoTokenizer` on the odd texts and pairs of them: (what, text)."""
    ours, theirs = read(folder, **options), transformers.AutoTokenizer.from_pretrained(folder)
    return [found for text in ODD_TEXTS for found in _of_text(ours, theirs, text)]


def _of_text(ours: Tokenizer, theirs: Any, text: str) -> Iterator[tuple[str, str]]:
    for second in (None, SECOND):
        encoding = ours.encode(text, second)
        expected = theirs(text, second, return_offsets_mapping=True)
        if encoding.ids != expected["input_ids"]:
            yield "ids", text
        if encoding.offsets != expected["offset_mapping"]:
            yield "offsets", text
        if encoding.type_ids != expected.get("token_type_ids", [0] * len(encoding)):
            yield "segments", text
        for skip in (True, False):
            # The clean-up of the whole text is the server's.
            wanted = theirs.decode(
                encoding.ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False
            )
            if ours.decode(encoding.ids, skip_special_tokens=skip) != wanted:
                yield "decoded", text
