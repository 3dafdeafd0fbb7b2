"""Normalizers, pre-tokenizers and decoders of a tokenizer.json in, checked and complete ones out.

Only components that cannot do harm pass, and of those only the known fields: no patterns from the
file but three constants (a regular expression can take for ever), tables that were looked through,
nothing without a bound. What a field is when absent is written out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from models.charsmap import is_sound
from models.fields import Fields
from models.manifest import ManifestError

Component = dict[str, Any]
Flags = Mapping[str, bool | None]

MAX_NORMALIZERS: Final = 8
BLANK: Final = "▁"  # what SentencePiece writes for a blank

# Components that only have flags -> what each is when absent.
_BERT_NORMALIZER: Final[Flags] = {
    "clean_text": True,
    "handle_chinese_chars": True,
    "strip_accents": None,
    "lowercase": True,
}
_NORMALIZERS: Final[Mapping[str, Flags]] = {
    "BertNormalizer": _BERT_NORMALIZER,
    "Lowercase": {},
    "StripAccents": {},
    "NFC": {},
    "NFD": {},
    "NFKC": {},
    "NFKD": {},
    "Strip": {"strip_left": True, "strip_right": True},
}
_BYTE_LEVEL: Final[Flags] = {"add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def _replace(pattern: Component, content: str) -> Component:
    return {"type": "Replace", "pattern": pattern, "content": content}


# As transformers' conversions of SentencePiece write it: runs of blanks made one,
BLANK_RUNS: Final = _replace({"Regex": " {2,}"}, " ")
# all that is blank made blanks, as DeBERTa has it,
BLANKS: Final = _replace({"Regex": r"\s{2,}|[\n\r\t]"}, " ")
# and quotes that are written with two strokes made one, as ALBERT has it.
QUOTES: Final = tuple([_replace({"String": quote}, '"') for quote in ("``", "''")])
_REPLACEMENTS: Final = (BLANK_RUNS, BLANK_RUNS | {"content": BLANK}, BLANKS, *QUOTES)
PUNCTUATION: Final[Component] = {"type": "Punctuation", "behavior": "Isolated"}
# What may stand before SentencePiece's pieces.
_BEFORE_PIECES: Final[tuple[Component, ...]] = ({"type": "WhitespaceSplit"}, PUNCTUATION)
_SCHEMES: Final = ("always", "first", "never")


def bert_normalizer(*, lowercase: bool) -> Component:
    """BERT's normalizer: control characters out, Chinese set apart, lower case if asked for.

    Accents go with lower case (strip_accents null).
    """
    return {"type": "BertNormalizer", **_BERT_NORMALIZER, "lowercase": lowercase}


def metaspace(scheme: str = "always") -> Component:
    """SentencePiece's marks of where words begin.

    >>> metaspace()["replacement"]
    '▁'
    """
    return {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": True}


def words_and_metaspace(scheme: str = "always") -> Component:
    """Words between blanks, each with SentencePiece's mark before it."""
    return sequence("pretokenizers", [{"type": "WhitespaceSplit"}, metaspace(scheme)])


def byte_level(*, add_prefix_space: bool) -> Component:
    """GPT-2's words, as bytes."""
    return {"type": "ByteLevel", **_BYTE_LEVEL, "add_prefix_space": add_prefix_space}


def read_normalizer(value: object, file: str) -> Component | None:
    """A normalizer, or None where there is none.

    Raises:
        ManifestError: it is none that Cloze accepts.
    """
    if value is None:
        return None
    members = _members(value, "normalizers")
    if members is None:
        return _normalizer(value, file)
    if len(members) > MAX_NORMALIZERS:
        raise ManifestError(f"The normalizer in {file} must list at most {MAX_NORMALIZERS}.")
    return sequence("normalizers", [_normalizer(member, file) for member in members])


def read_pre_tokenizer(value: object, file: str) -> Component:
    """A pre-tokenizer of BERT, SentencePiece or byte-level BPE."""
    members = _members(value, "pretokenizers")
    if members and _kind(members[-1]) == "Metaspace":
        own = _metaspace(members[-1], f"pre_tokenizer in {file}")
        for first in _BEFORE_PIECES:
            if members[:-1] == [first]:
                return sequence("pretokenizers", [first, own])
        if len(members) == 1:
            return own
    kind = _kind(value)
    if kind in {"BertPreTokenizer", "WhitespaceSplit"}:
        return {"type": kind}
    if kind == "Metaspace":
        return _metaspace(value, f"pre_tokenizer in {file}")
    if kind == "ByteLevel":
        return _byte_level(value, f"pre_tokenizer in {file}")
    raise _unknown("pre_tokenizer", kind, file, "BertPreTokenizer, Metaspace or ByteLevel")


def read_decoder(value: object, file: str) -> Component | None:
    """A decoder of word pieces, SentencePiece or byte-level BPE; None where there is none."""
    kind = _kind(value)
    if value is None:
        return None
    if kind == "WordPiece":
        fields = Fields.wrap(value, f"decoder in {file}")
        if (prefix := fields.text("prefix", "##")) != "##":
            raise ManifestError(f"The decoder of {file} has prefix {prefix[:20]}; BERT's is ##.")
        return {"type": kind, "prefix": "##", "cleanup": fields.flag("cleanup", default=True)}
    if kind == "Metaspace":
        return _metaspace(value, f"decoder in {file}")
    if kind == "ByteLevel":
        return _byte_level(value, f"decoder in {file}")
    raise _unknown("decoder", kind, file, "WordPiece, Metaspace or ByteLevel")


def sequence(name: str, members: Iterable[Component]) -> Component:
    """Components one after another, of `normalizers` or `pretokenizers`."""
    return {"type": "Sequence", name: list(members)}


def members_of(component: Component | None) -> list[Component]:
    """A component's members, or itself.

    >>> members_of({"type": "NFC"}), members_of(None)
    ([{'type': 'NFC'}], [])
    """
    if component is None:
        return []
    for name in ("normalizers", "pretokenizers"):
        if name in component:
            return list(component[name])
    return [component]


def kinds_of(component: Component | None) -> list[str]:
    """The kinds of a component's members, or its own.

    >>> kinds_of(words_and_metaspace()), kinds_of({"type": "NFC"}), kinds_of(None)
    (['WhitespaceSplit', 'Metaspace'], ['NFC'], [])
    """
    return [member["type"] for member in members_of(component)]


def _normalizer(value: object, file: str) -> Component:
    fields = Fields.wrap(value, f"normalizer in {file}")
    kind = fields.text("type", "none")
    if kind == "Replace" and value in _REPLACEMENTS:
        return dict(fields.values)
    if kind == "Precompiled":
        charsmap = fields.text("precompiled_charsmap")
        if not is_sound(charsmap):
            raise ManifestError(f"The normalizer in {file} has a table that is damaged or huge.")
        return {"type": kind, "precompiled_charsmap": charsmap}
    if kind not in _NORMALIZERS:
        raise ManifestError(f"The normalizer in {file} is {kind}, which Cloze does not accept.")
    return _with_flags(fields, kind, _NORMALIZERS[kind])


def _with_flags(fields: Fields, kind: str, flags: Flags) -> Component:
    return {"type": kind} | {
        name: None
        if default is None and fields.values.get(name) is None
        else fields.flag(name, default=bool(default))
        for name, default in flags.items()
    }


def _byte_level(value: object, place: str) -> Component:
    return _with_flags(Fields.wrap(value, place), "ByteLevel", _BYTE_LEVEL)


def _metaspace(value: object, place: str) -> Component:
    """Older files say by a flag whether a mark comes first."""
    fields = Fields.wrap(value, place)
    flag = fields.flag("add_prefix_space", default=True)
    scheme = fields.text("prepend_scheme", "always" if flag else "never")
    found = fields.text("replacement", BLANK), fields.flag("split", default=True)
    if found != (BLANK, True) or scheme not in _SCHEMES:
        raise ManifestError(f"The {place} is a Metaspace other than SentencePiece's.")
    return metaspace(scheme)


def _members(value: object, name: str) -> list[object] | None:
    """Those of a sequence; None of anything else."""
    if not isinstance(value, dict) or value.get("type") != "Sequence":
        return None
    members = value.get(name)
    return members if isinstance(members, list) else None


def _kind(value: object) -> object:
    return value.get("type") if isinstance(value, dict) else None


def _unknown(part: str, kind: object, file: str, known: str) -> ManifestError:
    return ManifestError(f"The {part} of {file} is {kind}; Cloze reads {known}.")
