"""Token ids in, the text that they spell out, as the tokenizer's own decoder gives it.

A fill-mask answer shows the whole sentence once per candidate. Word pieces are spelled one by one
and kept, which is an order of magnitude cheaper than a call into the decoder; other kinds go
through it. Knows nothing of texts on their way in.
"""

import functools
import json
from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordPiece

from models.tokenizer_spec import TokenizerSpec

Ids = Sequence[int]

_MARK = "##"
_REPLACED_BYTES = 3  # of what stands for a byte that is no text
_CONTRACTIONS = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
# The decoder's own clean-up of a piece knows one more.
_OF_PIECES = (*_CONTRACTIONS[:7], (" do not", " don't"), *_CONTRACTIONS[7:])


class Spelling(Protocol):
    """How one kind of tokenizer spells ids."""

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """The text of token ids."""

    def decode_each(
        self, before: Ids, candidates: Sequence[Ids], after: Ids, *, skip_special: bool
    ) -> list[str]:
        """`decode` of before + candidate + after for each candidate."""

    def most_bytes(self, ids: Sequence[int]) -> int:
        """How many bytes of UTF-8 `decode` makes of them at most."""


def spelling_of(rust: RustTokenizer, spec: TokenizerSpec) -> Spelling:
    """The spelling of a tokenizer's kind."""
    return _WordPieces(rust, spec) if isinstance(rust.model, WordPiece) else _Decoder(rust, spec)


class _Decoder:
    """What the library's decoder makes of tokens."""

    def __init__(self, rust: RustTokenizer, spec: TokenizerSpec) -> None:
        self._rust = rust
        self._cleans = spec.clean_up
        self._bytes = functools.cache(self._most_bytes)

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        text = self._rust.decode(list(ids), skip_special_tokens=skip_special)
        return cleaned(text) if self._cleans else text

    def decode_each(
        self, before: Ids, candidates: Sequence[Ids], after: Ids, *, skip_special: bool
    ) -> list[str]:
        return [
            self.decode([*before, *candidate, *after], skip_special=skip_special)
            for candidate in candidates
        ]

    def most_bytes(self, ids: Sequence[int]) -> int:
        return sum([self._bytes(token_id) for token_id in ids])

    def _most_bytes(self, token_id: int) -> int:
        token = self._rust.id_to_token(token_id) or ""
        return 1 + max(len(token.encode()), _REPLACED_BYTES * len(token))


class _WordPieces:
    """Word pieces, each spelled once."""

    def __init__(self, rust: RustTokenizer, spec: TokenizerSpec) -> None:
        self._rust = rust
        self._cleans = spec.clean_up
        # The decoder shows its options nowhere else.
        self._cleans_pieces = bool(json.loads(rust.decoder.__getstate__())["cleanup"])
        added = rust.get_added_tokens_decoder()
        self._special = frozenset(token_id for token_id, one in added.items() if one.special)
        self._spelling = functools.cache(self._spell)
        self._bytes = functools.cache(lambda one: len(self._spell(one)[1].encode()))

    def decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        return self._finished(self._decode(ids, skip_special=skip_special))

    def decode_each(
        self, before: Ids, candidates: Sequence[Ids], after: Ids, *, skip_special: bool
    ) -> list[str]:
        """Both sides are read once."""
        head = self._decode(before, skip_special=skip_special)
        tail = self._following(self._visible(after) if skip_special else after)
        inside = 1 if head else 0
        texts = []
        for candidate in candidates:
            if self._special.isdisjoint(candidate):
                own = self._spelling(candidate[0])[inside]
                if len(candidate) > 1:
                    own += self._following(candidate[1:])
                texts.append(self._finished(head + own + tail))
            else:
                whole = [*before, *candidate, *after]
                texts.append(self.decode(whole, skip_special=skip_special))
        return texts

    def most_bytes(self, ids: Sequence[int]) -> int:
        return sum([self._bytes(token_id) for token_id in ids])

    def _decode(self, ids: Sequence[int], *, skip_special: bool) -> str:
        kept = self._visible(ids) if skip_special else ids
        if len(kept) == 1:
            return self._spelling(kept[0])[0]
        return self._spelling(kept[0])[0] + self._following(kept[1:]) if kept else ""

    def _finished(self, text: str) -> str:
        return cleaned(text) if self._cleans else text

    def _visible(self, ids: Sequence[int]) -> list[int]:
        return [token_id for token_id in ids if token_id not in self._special]

    def _following(self, ids: Sequence[int]) -> str:
        """Pieces as they are written behind another."""
        return "".join([self._spelling(token_id)[1] for token_id in ids])

    def _spell(self, token_id: int) -> tuple[str, str]:
        """A piece at the beginning of a text, and one that follows another."""
        token = self._rust.id_to_token(token_id)
        if token is None:
            return "", ""  # a row of the table that the vocabulary leaves out
        following = token[len(_MARK) :] if token.startswith(_MARK) else f" {token}"
        if not self._cleans_pieces:
            return token, following
        return _replaced(token, _OF_PIECES), _replaced(following, _OF_PIECES)


def cleaned(text: str) -> str:
    """A text as transformers cleans it up where a tokenizer's configuration asks for it.

    >>> cleaned("it ' s here , do n't you see ?")
    "it's here, don't you see?"
    """
    return _replaced(text, _CONTRACTIONS)


def _replaced(text: str, replacements: Sequence[tuple[str, str]]) -> str:
    for spaced, joined in replacements:
        text = text.replace(spaced, joined)
    return text
