"""A Japanese text in, the same with a blank between its words out, as transformers parts it.

BertJapaneseTokenizer looks for words with MeCab before it looks for pieces. Where words begin
depends on the dictionary that the model was trained with, so the manifest names it, and a server
without it does not start. Knows nothing of vocabularies.
"""

import importlib
import re
import threading
import unicodedata
from collections.abc import Iterable
from typing import Any

from models.manifest import ManifestError
from models.tokenizer_spec import TokenizerSpec


class JapaneseWords:
    """MeCab with one dictionary."""

    def __init__(self, spec: TokenizerSpec, special: Iterable[str]) -> None:
        """Load the dictionary that `spec` names; `special` tokens are never looked into.

        Raises:
            ManifestError: MeCab or the dictionary is not installed.
        """
        self._unk = spec.unk
        self._characters = spec.characters
        longest_first = sorted(special, key=len, reverse=True)
        self._special = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._mecab = _tagger(spec.words)
        self._alone = threading.Lock()  # a tagger is no business of two threads

    def spaced(self, text: str) -> str:
        """Words, or their characters, and special tokens, with blanks between them."""
        # Every second part is a special token.
        parts = self._special.split(text)
        return " ".join(
            part if number % 2 else " ".join(self._words(part)) for number, part in enumerate(parts)
        )

    def _words(self, text: str) -> list[str]:
        with self._alone:
            words = [word.surface for word in self._mecab(unicodedata.normalize("NFKC", text))]
        if not self._characters:
            return [piece for word in words for piece in word.split()]
        characters = "".join(unicodedata.normalize("NFKC", word) for word in words)
        return [self._unk if character.isspace() else character for character in characters]


def _tagger(dictionary: str) -> Any:
    """MeCab with a dictionary that a package of the same name brings, and nothing of the system."""
    try:
        fugashi = importlib.import_module("fugashi")
        place = importlib.import_module(dictionary).DICDIR
    except ImportError as error:
        raise ManifestError(
            f"The model's tokenizer needs the packages fugashi and {dictionary}, and {error.name} "
            f"is not installed: `make japanese` adds them, or pip install fugashi "
            f"{dictionary.replace('_', '-')}."
        ) from None
    return fugashi.GenericTagger(f'-d "{place}" -r "{place}/mecabrc" ')
