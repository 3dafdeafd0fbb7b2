"""A model's tokenizer of Japanese words in, what BertJapaneseTokenizer reads of a checkpoint out.

MeCab's words are in no tokenizer.json: a checkpoint has the pieces in a list, and options that say
how words are found.
"""

import json
from typing import Any

from export.read.tokenizer_class import JAPANESE
from models.tokenizer_spec import TokenizerSpec


def vocabulary_of(tokenizer_json: str) -> str:
    r"""The lines of vocab.txt.

    A piece that stood on two lines has the later one's id, so an id without a piece gets the last.

    >>> vocabulary_of('{"model": {"vocab": {"a": 0, "b": 2}}}')
    'a\nb\nb\n'
    """
    vocabulary: dict[str, int] = json.loads(tokenizer_json)["model"]["vocab"]
    pieces = {index: piece for piece, index in vocabulary.items()}
    last = max(pieces)
    return "".join(f"{pieces.get(index, pieces[last])}\n" for index in range(last + 1))


def options_of(tokenizer_json: str, spec: TokenizerSpec) -> dict[str, Any]:
    """What tokenizer_config.json says beside the special tokens' names."""
    added = json.loads(tokenizer_json)["added_tokens"]
    return {
        "tokenizer_class": JAPANESE,
        "do_lower_case": False,
        "word_tokenizer_type": "mecab",
        "subword_tokenizer_type": "character" if spec.characters else "wordpiece",
        "mecab_kwargs": {"mecab_dic": spec.words},
        "added_tokens_decoder": {
            str(token["id"]): {name: token[name] for name in token if name != "id"}
            for token in added
        },
    }
