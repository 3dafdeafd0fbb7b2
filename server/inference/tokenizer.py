"""Texts in, `Encoding`s out, and token ids back into text.

The Rust tokenizer is never changed after loading (changing truncation while another thread encodes
raises "Already borrowed"): it yields bare pieces, and the special tokens around them, segment ids
and truncation are put together here, as the manifest says. Where a word's pieces do not depend on
its neighbours, those of recent words are kept: looking them up takes a fraction of the time of
finding them. Knows nothing of queues or HTTP.
"""

import functools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import Unigram
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.pre_tokenizers import Sequence as PreTokenizers

from models.tokenizer_spec import TokenizerSpec
from server.errors import EmptyText, InvalidText, TooLong, WrongType
from server.inference.japanese import JapaneseWords
from server.inference.runtime.packing import Encoding
from server.inference.spelling import Ids, spelling_of

# One thread per call: the cores belong to the inference workers.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHARACTERS_PER_TOKEN = 32  # English has 4 to 5; beyond this a text is refused or cut unread
SHORT_CHARACTERS = 2000  # about 2 ms; the interpreter's lock may be held for so long
CACHED_WORDS = 1 << 15  # of running English nine in ten words are among so many; some 8 MB
LONGEST_CACHED = 32  # characters
STRETCH = 1 << 14  # characters of a long text that are read in one go, up to the next blank
LONGEST_STRETCH = 1 << 16
# What BERT's normaliser makes a blank of; other white space is among the control characters that it
# removes.
_BLANKS = (
    "\t\n\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WHITE_SPACE = re.compile(f"[ {_BLANKS}]+")
# Other tokenizers see white space. None of them looks beyond a blank after one of these, which are
# neither blanks themselves nor joined with what follows (Unicode's Prepend).
_AFTER_WORD: Final = (
    "(?<=\\S)(?<=[!-~\u00a1-\u05ff\u0606-\u06dc\u06de-\u070e\u0710-\u088f\u0892-\u08e1\u08e3-\u0d4d"
    "\u0d4f-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\ud7ff\ue000-\ufefe])"
)
_BLANK_AFTER_WORD = re.compile(_AFTER_WORD + " ")
_ONE_BLANK_AFTER_WORD = re.compile(_AFTER_WORD + " (?! )")
# First letters of words that do not join a blank before them, by their category, and what never
# stands alone: at the end of a word, and at its beginning.
_STARTS = ("L", "N", "P", "Sc", "Sm", "So")
_JOINS = re.compile(
    "\\A[\u0e33\u0eb3\uff9e\uff9f]|["
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e\U000110bd\U000110cd\U000111c2\U000111c3"
    "\U0001193f\U00011941\U00011a3a\U00011a84-\U00011a89\U00011d46\U00011f02]"
)


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
    """What was cut off, with so much before it that a mask which the cut went through is seen."""


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
    texts: tuple[int, ...]
    """Which text of a pair a token is of; 0 for special ones."""


class Tokenizer:
    """The tokenizer of one model."""

    def __init__(self, path: Path, spec: TokenizerSpec | None = None) -> None:
        """Load a tokenizer.json whose special tokens are spelled as `spec` says, else as BERT's."""
        self.spec = spec = spec or TokenizerSpec()
        self._rust = RustTokenizer.from_file(str(path))
        self._rust.no_truncation()
        self._rust.no_padding()
        self.special = SpecialTokens(
            cls=self._required(spec.cls),
            sep=self._required(spec.sep),
            unk=self._required(spec.unk),
            mask=self._rust.token_to_id(spec.mask),
            pad=self._rust.token_to_id(spec.pad),
        )
        self.vocab_size = self._rust.get_vocab_size()
        """Number of tokens, added ones included."""
        added = self._rust.get_added_tokens_decoder().values()
        self._words = JapaneseWords(spec, [one.content for one in added]) if spec.words else None
        self._spelling = spelling_of(self._rust, spec)
        self._around = self._spelling.most_bytes([self.special.cls, self.special.sep])
        self._squeezes = isinstance(self._rust.pre_tokenizer, BertPreTokenizer)
        self._splits_at_spaces = self._words_are_independent()
        self._blank = self._blank_between_stretches()
        self._cached_word = functools.lru_cache(CACHED_WORDS)(self._word_alone)

    @property
    def marks_words(self) -> bool:
        """Whether a piece shows by itself that it goes on with a word, as BERT's do."""
        return self._squeezes

    def token_id(self, token: str) -> int | None:
        """The id of an exact vocabulary entry, such as "paris" or "##s"."""
        return self._rust.token_to_id(token)

    def pieces(
        self, text: str, max_tokens: int, *, truncate: bool, param: str, cut: str = "right"
    ) -> Pieces:
        """Tokenise without special tokens.

        Cost comes before truncation, so a text of more than 32 characters per allowed token, white
        space squeezed where the tokenizer does not see it, is refused with `TooLong`, or cut first
        when `truncate` is set, at the right end or, with `cut="left"`, at the left.

        Raises:
            EmptyText: nothing is left of the text.
            InvalidText: it is not Unicode.
        """
        require_unicode(text, param)
        limit = max_tokens * CHARACTERS_PER_TOKEN
        if len(text) <= limit:
            return Pieces(self._read(text, param))
        kept = (
            self._leading(text, limit) if cut == "right" else self._leading(text[::-1], limit)[::-1]
        )
        read = squeezed(kept) if self._squeezes else kept
        if len(kept) == len(text):
            return Pieces(self._read(read, param))
        if not truncate:
            raise too_many_characters(limit, param)
        seam = len(self.spec.mask) - 1
        over = len(text) - len(kept) + seam
        rest = text[-over:] if cut == "right" else text[:over]
        return Pieces(self._read(read, param), cut=True, rest=rest)

    def located(
        self,
        text: str,
        max_tokens: int | None,
        *,
        truncate: bool,
        param: str,
        so_far: Callable[[int], None] | None = None,
    ) -> Located:
        """`pieces` with their places; where `max_tokens` is None, of a text of any length.

        That is read in stretches. `so_far` is told between them how many pieces there are, and
        raises if they are too many.
        """
        require_unicode(text, param)
        kept = text
        if max_tokens is not None and len(text) > max_tokens * CHARACTERS_PER_TOKEN:
            kept = self._leading(text, max_tokens * CHARACTERS_PER_TOKEN)
            if len(kept) < len(text) and not truncate:
                raise too_many_characters(max_tokens * CHARACTERS_PER_TOKEN, param)
        found = Located([], [], [], len(kept) < len(text))
        for begin, end in self._stretches(kept, param):
            encoding = self._encode(kept[begin:end], None, special=False)
            # Only tokens that are put around a text belong to no word.
            words = [-1 if word is None else word for word in encoding.word_ids]
            after = found.words[-1] + 1 if found.words else 0
            found.ids.extend(encoding.ids)
            found.words.extend([after + word for word in words])
            found.spans.extend([(begin + first, begin + last) for first, last in encoding.offsets])
            if so_far is not None and end < len(kept):
                so_far(len(found.ids))
        if not found.ids:
            raise EmptyText("The text is empty: nothing is left of it to compute.", param=param)
        return found

    def _stretches(self, text: str, param: str) -> Iterator[tuple[int, int]]:
        """Where a text may be parted: before a blank, as words do not look beyond it."""
        begin = 0
        while begin < len(text):
            near, far = begin + STRETCH, begin + LONGEST_STRETCH
            blank = self._blank.search(text, near, far) if self._blank else None
            if blank is None and far < len(text):
                without = (
                    "without a blank; split it"
                    if self._blank
                    else "that this tokenizer reads at once; split it"
                )
                raise TooLong(f"The text has over {far - near} characters {without}.", param=param)
            end = len(text) if blank is None else blank.start()
            yield begin, end
            begin = end

    def given(self, ids: Sequence[int], param: str) -> Pieces:
        """Token ids that the client made with this vocabulary; those around a text go."""
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
        return tuple(self._encode(text, None, special=False).ids)

    def assemble(self, first: Sequence[int], second: Sequence[int] | None = None) -> Encoding:
        """`cls` first `sep`, or with `sep` second `sep` after it, as the manifest frames pairs."""
        cls, sep = self.special.cls, self.special.sep
        if second is None:
            ids = np.array([cls, *first, sep], np.int64)
            return Encoding(ids, np.zeros(len(ids), np.int64))
        between = [sep] * self.spec.pair_separators
        ids = np.array([cls, *first, *between, *second, sep], np.int64)
        type_ids = np.zeros(len(ids), np.int64)
        if self.spec.segments:
            type_ids[1 + len(first) + len(between) :] = 1
        return Encoding(ids, type_ids)

    def whole(self, first: str, second: str | None, *, special: bool, param: str) -> RustEncoding:
        """A text or pair of any length, with or without the special tokens around it."""
        for text in (first,) if second is None else (first, second):
            require_unicode(text, param)
            if not text:
                raise EmptyText("The text is empty.", param=param)
        return self._encode(first, second, special=special)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text of token ids, as transformers gives it."""
        return self._spelling.decode(ids, skip_special=skip_special)

    def written(self, ids: Sequence[int], *, skip_special: bool) -> str:
        """Text of token ids, as the tokenizers library gives it and no clean-up changes it."""
        text: str = self._rust.decode(list(ids), skip_special_tokens=skip_special)
        return text

    def decode_each(
        self, before: Ids, candidates: Sequence[Ids], after: Ids, *, skip_special: bool
    ) -> list[str]:
        """`decode` of before + candidate + after for each candidate."""
        return self._spelling.decode_each(before, candidates, after, skip_special=skip_special)

    def spelled_bytes(self, ids: Sequence[int]) -> int:
        """How many bytes of UTF-8 `decode` makes of them, with special tokens around, at most."""
        return self._spelling.most_bytes(ids) + self._around

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens as text: "par", "##is", "." gives "paris."."""
        return str(self._rust.decoder.decode(list(tokens)))

    def token(self, token_id: int) -> str:
        """One token as it stands in the vocabulary: "##s" keeps its marks."""
        return self._rust.id_to_token(token_id) or ""

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
            short = len(word) <= LONGEST_CACHED
            pieces = self._cached_word(word) if short else self._word_alone(word)
            if pieces is None:
                return self._encode(text, None, special=False).ids
            ids += pieces
        return ids

    def _word_alone(self, word: str) -> Sequence[int] | None:
        """The pieces of a word between blanks; None if it may join one of them.

        SentencePiece's normaliser reads what Unicode takes for one character at once, and a blank
        is one with a mark after it.
        """
        if not self._squeezes and not (word.isascii() or _stands_alone(word)):
            return None
        return tuple(self._encode(word, None, special=False).ids)

    def _words_are_independent(self) -> bool:
        """Whether nothing looks beyond a space: neither known components nor added tokens."""
        normalizer, pre_tokenizer = self._rust.normalizer, self._rust.pre_tokenizer
        words = isinstance(normalizer, BertNormalizer) and isinstance(
            pre_tokenizer, BertPreTokenizer
        )
        # With SentencePiece that parts words at blanks first.
        parted = isinstance(self._rust.model, Unigram) and isinstance(pre_tokenizer, PreTokenizers)
        return (words or parted) and not self._tokens_hold_blanks()

    def _tokens_hold_blanks(self) -> bool:
        added = self._rust.get_added_tokens_decoder().values()
        return any(character.isspace() for token in added for character in token.content)

    def _blank_between_stretches(self) -> re.Pattern[str] | None:
        """What a long text may be parted before; None where nothing is sure."""
        if self._squeezes:
            return _WHITE_SPACE if self._splits_at_spaces else None
        added = self._rust.get_added_tokens_decoder().values()
        if any(token.rstrip for token in added):
            return None
        if not self._tokens_hold_blanks():
            return _BLANK_AFTER_WORD
        # Of ModernBERT's some are runs of blanks.
        runs = [token.content for token in added if any(map(str.isspace, token.content))]
        return (
            _ONE_BLANK_AFTER_WORD if all(len(run) > 1 == len({*run, " "}) for run in runs) else None
        )

    def _leading(self, text: str, limit: int) -> str:
        """The start of a text of so many characters, white space squeezed where that is unseen."""
        return _leading(text, limit) if self._squeezes else text[:limit]

    def _encode(self, first: str, second: str | None, *, special: bool) -> RustEncoding:
        """`encode` holds the interpreter's lock, and so the event loop; `encode_batch` does not."""
        if self._words:
            first = self._words.spaced(first)
            second = second and self._words.spaced(second)
        if len(first) + len(second or "") <= SHORT_CHARACTERS:
            return self._rust.encode(first, second, add_special_tokens=special)
        text = first if second is None else (first, second)
        return self._rust.encode_batch([text], add_special_tokens=special)[0]

    def _required(self, token: str) -> int:
        token_id = self._rust.token_to_id(token)
        if token_id is None:
            raise ValueError(f"expected {token} in the vocabulary of a tokenizer, found none")
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
        texts=tuple(of or 0 for of in encoding.sequence_ids),
    )


def _stands_alone(word: str) -> bool:
    r"""Whether a word joins neither the blank before it nor the one after it.

    >>> _stands_alone("caf\u00e9"), _stands_alone("\u0301a"), _stands_alone("a\u0600")
    (True, False, False)
    """
    starts = unicodedata.category(word[0]).startswith(_STARTS)
    return starts and _JOINS.search(word) is None


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
    """The start of a text that has `limit` characters when its white space is squeezed.

    No further than that is looked at, however long the text.
    """
    end = 0
    while run := _WHITE_SPACE.search(text, end, limit):
        limit += len(run[0]) - (run.start() > end or end == 0)  # a run that goes on counts once
        end = run.end()
    rest = _WHITE_SPACE.match(text, limit) if end == limit > 0 else None
    return text[: rest.end() if rest else limit]


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
