"""Japanese texts in, the two files of a BertJapaneseTokenizer out, as tohoku's models have them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.checkpoints.row import Tokenizing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def write_japanese(made: Tokenizing, texts: Sequence[str], folder: Path, longest: int) -> int:
    """Write vocab.txt and tokenizer_config.json; how many pieces there are.

    Every other word of MeCab's is whole, the rest is spelled by characters, of which one in eight
    is unknown.
    """
    words = list(dict.fromkeys(word for text in texts for word in _words(made, text)))
    known = [one for number, one in enumerate(sorted(set("".join(words)))) if number % 8]
    pieces = [*known, *words[::2], *("##" + one for one in known), *("##" + w for w in words[1::4])]
    vocabulary = list(dict.fromkeys([*SPECIAL, *(known if made.characters else pieces)]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    options: dict[str, Any] = {
        "tokenizer_class": made.saved_as,
        "model_max_length": longest,
        "do_lower_case": False,
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": "character" if made.characters else "wordpiece",
    }
    if made.dictionary:
        options["mecab_kwargs"] = {"mecab_dic": made.dictionary}
    (folder / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    return len(vocabulary)


def _words(made: Tokenizing, text: str) -> list[str]:
    fugashi, place = import_module("fugashi"), import_module(made.dictionary or "ipadic").DICDIR
    tagger = fugashi.GenericTagger(f'-d "{place}" -r "{place}/mecabrc" ')
    return [word.surface for word in tagger(unicodedata.normalize("NFKC", text))]
