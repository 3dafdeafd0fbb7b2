"""Texts in, `Encoding`s out, and word pieces back into text.

The Rust tokenizer is never changed after loading (changing truncation while another thread encodes
raises "Already borrowed"): it yields bare word pieces, and [CLS], [SEP], segment ids and truncation
are put together here. A word's pieces do not depend on its neighbours, so those of recent words are
kept: looking them up takes a fraction of the time of finding them. Knows nothing of queues or HTTP.
"""

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from server.errors import EmptyText, InvalidText, TooLong, WrongType
from server.inference.runtime.packing import Encoding

# One thread per call: the cores belong to the inference workers.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

MASK = "[MASK]"
CHARACTERS_PER_TOKEN = 32  # English has 4 to 5; beyond this a text is refused or cut unread
SHORT_CHARACTERS = 2000  # about 2 ms; the interpreter's lock may be held for so long
CACHED_WORDS = 1 << 15  # of running English nine in ten words are among so many; some 8 MB
LONGEST_CACHED = 32  # characters
# What BERT's normaliser makes a blank of; other white space is among the control characters that it
# removes.
_BLANKS = (
    "\t\n\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WHITE_SPACE = re.compile(f"[ {_BLANKS}]+")
CONTRACTIONS = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the five special tokens; `mask` and `pad` are None when the vocabulary lacks them."""

    cls: int
    sep: int
    unk: int
    mask: int | None
    pad: int | None


@dataclass(frozen=True)
class Pieces:
    """The word pieces of one text, without special tokens around them."""

    ids: list[int]
    cut: bool = False
    """Whether the text was cut before tokenising because it was far beyond the limit."""
    rest: str = ""
    """What was cut off, with so much before it that a [MASK] which the cut went through is seen."""


@dataclass(frozen=True)
class Located:
    """The word pieces of one text with their places; all lists have one entry per piece."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """Start and end in the text, in code points."""
    words: list[int]
    """Number of the word that the piece belongs to."""
    cut: bool = False
    """Whether the text was cut before tokenising because it was far beyond the limit."""


@dataclass(frozen=True)
class Tokenized:
    """One text or pair as `/tokenize` shows it; all tuples have one entry per token."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    token_type_ids: tuple[int, ...]
    positions: tuple[int, ...]
    special: tuple[bool, ...]
    offsets: tuple[tuple[int, int] | None, ...]
    """Start and end in the text (of a pair: in that token's text), in code points."""


class Tokenizer:
    """The word-piece tokenizer of one model."""

    def __init__(self, path: Path) -> None:
        self._rust = RustTokenizer.from_file(str(path))
        self._rust.no_truncation()
        self._rust.no_padding()
        self.special = SpecialTokens(
            cls=self._required("[CLS]"),
            sep=self._required("[SEP]"),
            unk=self._required("[UNK]"),
            mask=self._rust.token_to_id("[MASK]"),
            pad=self._rust.token_to_id("[PAD]"),
        )
        self.vocab_size = self._rust.get_vocab_size()
        """Number of tokens, added ones included."""
        self._specials = frozenset(
            token_id
            for token_id, added in self._rust.get_added_tokens_decoder().items()
            if added.special
        )
        self._spelling = functools.cache(self._spell)
        self._spelled_bytes = functools.cache(lambda one: len(self._spell(one)[1].encode()))
        self._around = self._spelled_bytes(self.special.cls) + self._spelled_bytes(self.special.sep)
        self._splits_at_spaces = self._words_are_independent()
        self._cached_word = functools.lru_cache(CACHED_WORDS)(self.word)

    def token_id(self, token: str) -> int | None:
        """The id of an exact vocabulary entry, such as "paris" or "##s"."""
        return self._rust.token_to_id(token)

    def pieces(
        self, text: str, max_tokens: int, *, truncate: bool, param: str, cut: str = "right"
    ) -> Pieces:
        """Tokenise without special tokens.

        Cost comes before truncation, so a text of more than 32 characters per allowed token, white
        space squeezed, is refused with `TooLong`, or cut first when `truncate` is set, at the right
        end or, with `cut="left"`, at the left. Raises `EmptyText` when nothing is left of the text,
        `InvalidText` for text that is not Unicode.
        """
        require_unicode(text, param)
        limit = max_tokens * CHARACTERS_PER_TOKEN
        if len(text) <= limit:
            return Pieces(self._read(text, param))
        kept = _leading(text, limit) if cut == "right" else _leading(text[::-1], limit)[::-1]
        if len(kept) == len(text):
            return Pieces(self._read(squeezed(text), param))
        if not truncate:
            raise too_many_characters(limit, param)
        seam = len(MASK) - 1
        over = len(text) - len(kept) + seam
        rest = text[-over:] if cut == "right" else text[:over]
        return Pieces(self._read(squeezed(kept), param), cut=True, rest=rest)

    def located(self, text: str, max_tokens: int | None, *, truncate: bool, param: str) -> Located:
        """`pieces` with their places; where `max_tokens` is None, of a text of any length."""
        require_unicode(text, param)
        kept = text
        if max_tokens is not None and len(text) > max_tokens * CHARACTERS_PER_TOKEN:
            kept = _leading(text, max_tokens * CHARACTERS_PER_TOKEN)
            if len(kept) < len(text) and not truncate:
                raise too_many_characters(max_tokens * CHARACTERS_PER_TOKEN, param)
        encoding = self._encode(kept, None, special=False)
        if not encoding.ids:
            raise EmptyText("The text is empty: nothing is left of it to compute.", param=param)
        # Only tokens that are put around a text belong to no word.
        words = [-1 if word is None else word for word in encoding.word_ids]
        return Located(encoding.ids, encoding.offsets, words, len(kept) < len(text))

    def given(self, ids: Sequence[int], param: str) -> Pieces:
        """Token ids that the client made with this vocabulary; [CLS] and [SEP] around them go."""
        inner = list(ids)
        if inner[:1] == [self.special.cls]:
            inner = inner[1:]
        if inner[-1:] == [self.special.sep]:
            inner = inner[:-1]
        if not inner:
            raise EmptyText("The list of token ids is empty.", param=param)
        return Pieces(inner)

    def word(self, text: str) -> tuple[int, ...]:
        """The pieces of a word by itself, without special tokens; empty when nothing is left."""
        return tuple(self._rust.encode(text, add_special_tokens=False).ids)

    def assemble(self, first: Sequence[int], second: Sequence[int] | None = None) -> Encoding:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP] with segment ids 0 and 1."""
        cls, sep = self.special.cls, self.special.sep
        if second is None:
            ids = np.array([cls, *first, sep], np.int64)
            return Encoding(ids, np.zeros(len(ids), np.int64))
        ids = np.array([cls, *first, sep, *second, sep], np.int64)
        type_ids = np.zeros(len(ids), np.int64)
        type_ids[len(first) + 2 :] = 1
        return Encoding(ids, type_ids)

    def whole(self, first: str, second: str | None, *, special: bool, param: str) -> RustEncoding:
        """A text or pair of any length, with or without the special tokens around it."""
        for text in (first,) if second is None else (first, second):
            require_unicode(text, param)
            if not text:
                raise EmptyText("The text is empty.", param=param)
        return self._encode(first, second, special=special)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of word pieces, as the tokenizer's own decoder gives it, piece by cached piece.

        A fill-mask answer shows the whole sentence once per candidate, and a lookup per piece is an
        order of magnitude cheaper than a call into the decoder.
        """
        kept = self._visible(ids) if skip_special else ids
        if len(kept) == 1:
            return self._spelling(kept[0])[0]
        return self._spelling(kept[0])[0] + self._following(kept[1:]) if kept else ""

    def decode_each(
        self,
        before: Sequence[int],
        candidates: Sequence[Sequence[int]],
        after: Sequence[int],
        *,
        skip_special: bool,
    ) -> list[str]:
        """`decode` of before + candidate + after for each candidate; both sides are read once."""
        head = self.decode(before, skip_special=skip_special)
        tail = self._following(self._visible(after) if skip_special else after)
        inside = 1 if head else 0
        texts = []
        for candidate in candidates:
            if self._specials.isdisjoint(candidate):
                own = self._spelling(candidate[0])[inside]
                if len(candidate) > 1:
                    own += self._following(candidate[1:])
                texts.append(head + own + tail)
            else:
                whole = [*before, *candidate, *after]
                texts.append(self.decode(whole, skip_special=skip_special))
        return texts

    def spelled_bytes(self, ids: Sequence[int]) -> int:
        """How many bytes of UTF-8 `decode` makes of them, with special tokens around, at most."""
        return sum([self._spelled_bytes(token_id) for token_id in ids]) + self._around

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens as text: "par", "##is", "." gives "paris."."""
        return str(self._rust.decoder.decode(list(tokens)))

    def token(self, token_id: int) -> str:
        """One token as text by itself: "##s" keeps its marks."""
        return self._spelling(token_id)[0]

    def _visible(self, ids: Sequence[int]) -> list[int]:
        return [token_id for token_id in ids if token_id not in self._specials]

    def _following(self, ids: Sequence[int]) -> str:
        """Pieces as they are written behind another."""
        return "".join([self._spelling(token_id)[1] for token_id in ids])

    def _spell(self, token_id: int) -> tuple[str, str]:
        """A piece at the beginning of a text, and one that follows another."""
        token = self._rust.id_to_token(token_id)
        if token is None:
            return "", ""  # a row of the table that the vocabulary leaves out
        following = token[2:] if token.startswith("##") else f" {token}"
        return _clean(token), _clean(following)

    def _read(self, text: str, param: str) -> list[int]:
        ids = self._find(text)
        if not ids:
            raise EmptyText("The text is empty: nothing is left of it to compute.", param=param)
        return ids

    def _find(self, text: str) -> list[int]:
        """The pieces of a text, word by word where that gives the same."""
        if not self._splits_at_spaces:
            return self._encode(text, None, special=False).ids
        ids: list[int] = []
        for word in text.split(" "):
            if len(word) <= LONGEST_CACHED:
                ids += self._cached_word(word)
            else:
                ids += self._encode(word, None, special=False).ids
        return ids

    def _words_are_independent(self) -> bool:
        """Whether nothing looks beyond a space: neither BERT's own components nor added tokens."""
        added = self._rust.get_added_tokens_decoder().values()
        return (
            isinstance(self._rust.normalizer, BertNormalizer)
            and isinstance(self._rust.pre_tokenizer, BertPreTokenizer)
            and not any(character.isspace() for token in added for character in token.content)
        )

    def _encode(self, first: str, second: str | None, *, special: bool) -> RustEncoding:
        """`encode` holds the interpreter's lock, and so the event loop; `encode_batch` does not."""
        if len(first) + len(second or "") <= SHORT_CHARACTERS:
            return self._rust.encode(first, second, add_special_tokens=special)
        text = first if second is None else (first, second)
        return self._rust.encode_batch([text], add_special_tokens=special)[0]

    def _required(self, token: str) -> int:
        token_id = self._rust.token_to_id(token)
        if token_id is None:
            raise ValueError(f"expected {token} in the vocabulary of a BERT tokenizer, found none")
        return token_id


def tokenized(encoding: RustEncoding) -> Tokenized:
    """Everything BERT adds up for each token: ids, segments and positions."""
    special = tuple(bool(flag) for flag in encoding.special_tokens_mask)
    return Tokenized(
        ids=tuple(encoding.ids),
        tokens=tuple(encoding.tokens),
        token_type_ids=tuple(encoding.type_ids),
        positions=tuple(range(len(encoding))),
        special=special,
        offsets=tuple(
            None if hidden else span for hidden, span in zip(special, encoding.offsets, strict=True)
        ),
    )


def _clean(piece: str) -> str:
    """What the WordPiece decoder's clean-up makes of one piece.

    >>> _clean(" ."), _clean(" n't"), _clean(" paris")
    ('.', "n't", ' paris')
    """
    for spaced, joined in CONTRACTIONS:
        piece = piece.replace(spaced, joined)
    return piece


def require_unicode(text: str, param: str) -> None:
    """Raise `InvalidText` for a lone surrogate, which no UTF-8 text has."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidText(
            "The text holds a lone surrogate, which is not valid Unicode.", param=param
        ) from None


def squeezed(text: str) -> str:
    r"""Every run of white space as one blank, which is all that BERT sees of it.

    >>> squeezed("one\n \t two")
    'one two'
    """
    for blank in _BLANKS:  # up to 60 times as fast as a regular expression
        text = text.replace(blank, " ")
    for length in (4096, 64, 8):  # or a long run would take as many rounds as its length halves
        text = text.replace(" " * length, " ")
    while "  " in text:
        text = text.replace("  ", " ")
    return text


def _leading(text: str, limit: int) -> str:
    """The start of a text that has `limit` characters when its white space is squeezed."""
    for run in _WHITE_SPACE.finditer(text):
        if run.start() >= limit:
            break
        limit += len(run[0]) - 1
    return text[:limit]


def too_many_characters(limit: int, param: str) -> TooLong:
    """The error of a text that is not read, since its length alone says that it is too long."""
    return TooLong(
        f"The text has more than {limit} characters, repeated white space counted once; shorten "
        "it, or set `truncate` to true.",
        param=param,
    )


def too_long(max_tokens: int, param: str) -> TooLong:
    """The error of a text beyond the limit."""
    return TooLong(
        f"The text is longer than {max_tokens} tokens; shorten it, or set `truncate` to true.",
        param=param,
    )


def require_known(ids: Sequence[int], vocab_size: int, param: str) -> None:
    """Raise `WrongType` for token ids outside the vocabulary."""
    if not all(0 <= token_id < vocab_size for token_id in ids):
        raise WrongType(f"Token ids must be from 0 to {vocab_size - 1}.", param=param)
