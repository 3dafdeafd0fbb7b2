"""A tokenizer.json from anywhere in, the few parts that may differ between BERTs out.

Only BERT's components pass, and of those only the known fields: no patterns from the file (a
regular expression can take for ever), no component of another family, nothing without a bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.fields import Fields
from models.manifest import ManifestError

Component = dict[str, Any]

MAX_PIECE_CHARS = 256
MAX_ADDED_TOKENS = 10_000
MAX_NORMALIZERS = 8
# The word-piece search is quadratic in the length of a word.
MAX_WORD_CHARS = 1_000
WORD_CHARS = 100  # BERT's own bound: a longer word is [UNK]

_TOP = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"}
_TOP |= {"post_processor", "decoder", "model"}
_FRAMED_A: list[Component] = [
    {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
]
_FRAMED_B: list[Component] = [
    {"Sequence": {"id": "B", "type_id": 1}},
    {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
]
# [CLS] a [SEP] in segment 0, and for pairs b [SEP] in segment 1.
TEMPLATE = {"single": _FRAMED_A, "pair": _FRAMED_A + _FRAMED_B}
# Normalizers that cannot do harm -> their fields and what each is when absent.
_NORMALIZERS: Mapping[str, Mapping[str, bool | None]] = {
    "BertNormalizer": {
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "Lowercase": {},
    "StripAccents": {},
    "NFC": {},
    "NFD": {},
    "NFKC": {},
    "NFKD": {},
    "Strip": {"strip_left": True, "strip_right": True},
}
_ADDED_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@dataclass(frozen=True)
class Parts:
    """All in which one BERT tokenizer differs from another."""

    vocabulary: dict[str, int]
    normalizer: Component
    added: tuple[Component, ...] = ()
    max_chars_per_word: int = WORD_CHARS

    @property
    def ids(self) -> dict[str, int]:
        """The id of every piece, added tokens included."""
        return self.vocabulary | {token["content"]: token["id"] for token in self.added}


def bert_normalizer(*, lowercase: bool) -> Component:
    """BERT's normalizer: control characters out, Chinese set apart, lower case if asked for.

    Accents go with lower case (strip_accents null).
    """
    return {"type": "BertNormalizer", **_NORMALIZERS["BertNormalizer"], "lowercase": lowercase}


def parse_tokenizer(fields: Fields) -> Parts:
    """The parts of a tokenizer.json.

    Raises:
        ManifestError: a component is not BERT's, or a size is out of bounds.
    """
    if extra := sorted(set(fields.values) - _TOP):
        raise ManifestError(f"{fields.file} has a field that it should not have: {extra[0]}.")
    _require_kind(fields, "pre_tokenizer", "BertPreTokenizer")
    _require_kind(fields, "decoder", "WordPiece", None)
    _require_kind(fields, "post_processor", "TemplateProcessing", "BertProcessing", None)
    _require_template(fields)
    model = _model(fields)
    return Parts(
        vocabulary=_vocabulary(model),
        normalizer=_normalizer(fields.values.get("normalizer"), fields.file),
        added=_added_tokens(fields),
        max_chars_per_word=model.integer("max_input_chars_per_word", WORD_CHARS),
    )


def _require_kind(fields: Fields, part: str, *allowed: str | None) -> None:
    component = fields.values.get(part)
    kind = component.get("type") if isinstance(component, dict) else None
    if kind not in allowed:
        known = " or ".join(filter(None, allowed))
        raise ManifestError(f"The {part} of {fields.file} is {kind}; BERT's is {known}.")


def _require_template(fields: Fields) -> None:
    """A template, where there is one, must frame texts as BERT was trained to read them."""
    component = fields.values.get("post_processor") or {}
    for name, template in TEMPLATE.items():
        if component.get("type") == "TemplateProcessing" and component.get(name) != template:
            raise ManifestError(
                f"The {name} template of {fields.file} is not BERT's [CLS] a [SEP], "
                "with b [SEP] in segment 1 after it for pairs."
            )


def _model(fields: Fields) -> Fields:
    model = Fields.wrap(fields.values.get("model"), f"model in {fields.file}")
    for name, expected in (
        ("type", "WordPiece"),
        ("unk_token", "[UNK]"),
        ("continuing_subword_prefix", "##"),
    ):
        # The first versions of the format did not name the type.
        if (found := model.text(name, expected)) != expected:
            raise ManifestError(f"The {model.file} has {name} {found}; BERT's is {expected}.")
    if model.integer("max_input_chars_per_word", WORD_CHARS) > MAX_WORD_CHARS:
        raise ManifestError(f"The {model.file} allows words of over {MAX_WORD_CHARS} characters.")
    return model


def _vocabulary(model: Fields) -> dict[str, int]:
    pieces = Fields.wrap(model.values.get("vocab"), f"vocab of the {model.file}")
    for piece in pieces.values:
        if len(piece) > MAX_PIECE_CHARS:
            raise ManifestError(
                f"The {model.file} has a word piece of over {MAX_PIECE_CHARS} characters."
            )
        pieces.integer(piece, least=0)
    if not pieces.values or len(set(pieces.values.values())) != len(pieces.values):
        raise ManifestError(f"The {model.file} has no word pieces, or two with the same id.")
    return pieces.values


def _normalizer(value: object, file: str, *, nested: bool = False) -> Component:
    fields = Fields.wrap(value, f"normalizer in {file}")
    kind = fields.text("type", "none")
    if kind == "Sequence" and not nested:
        members = fields.values.get("normalizers")
        if not isinstance(members, list) or len(members) > MAX_NORMALIZERS:
            raise ManifestError(f"The normalizer in {file} must list at most {MAX_NORMALIZERS}.")
        return {
            "type": kind,
            "normalizers": [_normalizer(member, file, nested=True) for member in members],
        }
    if kind not in _NORMALIZERS:
        raise ManifestError(f"The normalizer in {file} is {kind}, which Cloze does not accept.")
    return {"type": kind} | {
        name: None
        if default is None and fields.values.get(name) is None
        else fields.flag(name, default=bool(default))
        for name, default in _NORMALIZERS[kind].items()
    }


def _added_tokens(fields: Fields) -> tuple[Component, ...]:
    tokens = fields.values.get("added_tokens") or []
    if not isinstance(tokens, list) or len(tokens) > MAX_ADDED_TOKENS:
        raise ManifestError(f"{fields.file} must list at most {MAX_ADDED_TOKENS} added tokens.")
    added: list[Component] = []
    for token in tokens:
        own = Fields.wrap(token, f"an added token in {fields.file}")
        if not 0 < len(content := own.text("content")) <= MAX_PIECE_CHARS:
            raise ManifestError(f"{own.file} is empty or over {MAX_PIECE_CHARS} characters.")
        flags = {flag: own.flag(flag, default=False) for flag in _ADDED_FLAGS}
        added.append({"id": own.integer("id", least=0), "content": content} | flags)
    return tuple(added)
