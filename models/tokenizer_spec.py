"""How a model's tokenizer spells its special tokens and frames a text or a pair of them.

BERT's own way is the default of every field: a model folder that says nothing has BERT's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_SPELLED = ("cls", "sep", "unk", "pad", "mask")
MAX_SPELLING = 64  # characters of a special token
DICTIONARIES = ("ipadic", "unidic_lite", "unidic")  # packages that bring one for MeCab


@dataclass(frozen=True)
class TokenizerSpec:
    """Spellings of the special tokens, and what stands around texts.

    >>> TokenizerSpec().pair_specials, TokenizerSpec(pair_separators=2).pair_specials
    (3, 4)
    """

    cls: str = "[CLS]"
    """Before a text or pair."""
    sep: str = "[SEP]"
    """After each text."""
    unk: str = "[UNK]"
    """In the place of what the vocabulary cannot spell."""
    pad: str = "[PAD]"
    mask: str = "[MASK]"
    pair_separators: int = 1
    """How many `sep` stand between the texts of a pair."""
    segments: bool = True
    """Whether the second text of a pair has segment id 1; else all ids are 0."""
    clean_up: bool = False
    """Whether a decoded text loses its blanks before punctuation once more, as a whole."""

    words: str = ""
    """The dictionary with which MeCab finds words first, for Japanese; empty for none."""
    characters: bool = False
    """Whether each character of such a word is a piece."""

    @property
    def names(self) -> tuple[str, str, str, str, str]:
        """Every special token once, in BERT's order: pad, unk, cls, sep, mask."""
        return self.pad, self.unk, self.cls, self.sep, self.mask

    @property
    def pair_specials(self) -> int:
        """Special tokens around and between the texts of a pair."""
        return 2 + self.pair_separators


def spec_claims(spec: TokenizerSpec) -> Iterator[tuple[bool, str]]:
    """What must hold of a `TokenizerSpec`, each with its sentence."""
    for name in _SPELLED:
        spelling = getattr(spec, name)
        short = 0 < len(spelling) <= MAX_SPELLING and not any(map(str.isspace, spelling))
        yield short, f"tokenizer.{name} must be 1 to {MAX_SPELLING} characters without a blank"
    yield len(set(spec.names)) == len(spec.names), "tokenizer must not spell two tokens alike"
    known = ("", *DICTIONARIES)
    yield spec.words in known, f"tokenizer.words must be empty or one of {', '.join(DICTIONARIES)}"
    yield not spec.characters or spec.words != "", "tokenizer.characters must have tokenizer.words"
    yield spec.pair_separators in (1, 2), "tokenizer.pair_separators must be 1 or 2"
