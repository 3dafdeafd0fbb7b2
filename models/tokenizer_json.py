"""A tokenizer.json from anywhere in, its checked parts out.

Only components that Cloze knows pass (`models.tokenizer_components`, `models.tokenizer_models`),
and only together with those of their own kind: BERT's word pieces, SentencePiece's Unigram or
byte-level BPE. What stands around texts becomes a `Frame`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from models.fields import Fields
from models.manifest import ManifestError
from models.tokenizer_components import (
    Component,
    kinds_of,
    read_decoder,
    read_normalizer,
    read_pre_tokenizer,
)
from models.tokenizer_models import (
    BPE,
    MAX_PIECE_CHARS,
    UNIGRAM,
    WORD_PIECE,
    ids_of,
    read_model,
)

MAX_ADDED_TOKENS: Final = 10_000
ADDED_FLAGS: Final = ("single_word", "lstrip", "rstrip", "normalized", "special")

_TOP = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"}
_TOP |= {"post_processor", "decoder", "model"}
# Kind of a model -> the pre-tokenizers and the decoder that go with it.
_TOGETHER: Final[Mapping[str, tuple[tuple[list[str], ...], str]]] = {
    WORD_PIECE: ((["BertPreTokenizer"], ["WhitespaceSplit"]), "WordPiece"),
    UNIGRAM: (
        (["WhitespaceSplit", "Metaspace"], ["Metaspace"], ["Punctuation", "Metaspace"]),
        "Metaspace",
    ),
    BPE: ((["ByteLevel"],), "ByteLevel"),
}


@dataclass(frozen=True)
class Frame:
    """What stands around one text and around and between two: `cls` a `sep` (`sep`) b `sep`."""

    cls: str
    sep: str
    pair_separators: int = 1
    segments: bool = True
    """Whether the second text, with the `sep` after it, is of segment 1."""
    trim: tuple[bool, bool] | None = None
    """Of RoBERTa's frame: whether offsets leave out blanks, and whether one was put first."""


@dataclass(frozen=True)
class Parts:
    """All in which one tokenizer differs from another."""

    model: Component
    normalizer: Component | None
    pre_tokenizer: Component
    decoder: Component | None
    frame: Frame | None
    added: tuple[Component, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of the model."""
        kind: str = self.model["type"]
        return kind

    @property
    def ids(self) -> dict[str, int]:
        """The id of every piece, added tokens included."""
        return ids_of(self.model) | {token["content"]: token["id"] for token in self.added}


def parse_tokenizer(fields: Fields) -> Parts:
    """The parts of a tokenizer.json.

    Raises:
        ManifestError: a component is not one that Cloze reads, or a size is out of bounds.
    """
    if extra := sorted(set(fields.values) - _TOP):
        raise ManifestError(f"{fields.file} has a field that it should not have: {extra[0]}.")
    get, file = fields.values.get, fields.file
    pre_tokenizer = read_pre_tokenizer(get("pre_tokenizer"), file)
    normalizer = read_normalizer(get("normalizer"), file)
    decoder = read_decoder(get("decoder"), file)
    model = read_model(get("model"), file)
    added = _added_tokens(fields)
    parts = Parts(model, normalizer, pre_tokenizer, decoder, None, added)
    _require_together(parts, file)
    return replace(parts, frame=_frame(get("post_processor"), file))


def added_token(token: object, place: str) -> Component:
    """One added token with all its flags, as the library writes them."""
    own = Fields.wrap(token, place)
    if not 0 < len(content := own.text("content")) <= MAX_PIECE_CHARS:
        raise ManifestError(f"{own.file} is empty or over {MAX_PIECE_CHARS} characters.")
    flags = {flag: own.flag(flag, default=False) for flag in ADDED_FLAGS}
    return {"id": own.integer("id", least=0), "content": content} | flags


def _added_tokens(fields: Fields) -> tuple[Component, ...]:
    tokens = fields.values.get("added_tokens") or []
    if not isinstance(tokens, list) or len(tokens) > MAX_ADDED_TOKENS:
        raise ManifestError(f"{fields.file} must list at most {MAX_ADDED_TOKENS} added tokens.")
    return tuple([added_token(token, f"an added token in {fields.file}") for token in tokens])


def _require_together(parts: Parts, file: str) -> None:
    pre_tokenizers, decoder = _TOGETHER[parts.kind]
    found = kinds_of(parts.pre_tokenizer)
    if found not in pre_tokenizers:
        expected = " or ".join(" + ".join(kinds) for kinds in pre_tokenizers)
        raise ManifestError(
            f"The pre_tokenizer of {file} is {' + '.join(found)}; with a {parts.kind} model it "
            f"must be {expected}."
        )
    own = next(iter(kinds_of(parts.decoder)), None)
    # The first versions of the format wrote none with word pieces.
    if own != decoder and (own is not None or parts.kind != WORD_PIECE):
        raise ManifestError(
            f"The decoder of {file} is {own}; with a {parts.kind} model it must be {decoder}."
        )
    normalizers = kinds_of(parts.normalizer)
    parted = found == ["WhitespaceSplit"]  # of texts that were normalised before
    odd = bool(normalizers) == parted or {"Precompiled", "Replace"} & {*normalizers}
    if parts.kind == WORD_PIECE and odd:
        raise ManifestError(f"The normalizer of {file} is not one that word pieces have.")
    if parts.kind != WORD_PIECE and "BertNormalizer" in normalizers:
        raise ManifestError(f"The normalizer of {file} is BERT's, and its model is {parts.kind}.")


# --- what stands around texts -----------------------------------------------------------------


def template_of(frame: Frame) -> dict[str, list[Component]]:
    """The two templates that a frame is written as."""
    other = 1 if frame.segments else 0
    single = [_special(frame.cls, 0), _text("A", 0), _special(frame.sep, 0)]
    between = [_special(frame.sep, 0)] * (frame.pair_separators - 1)
    return {
        "single": single,
        "pair": [*single, *between, _text("B", other), _special(frame.sep, other)],
    }


def _special(token: str, segment: int) -> Component:
    return {"SpecialToken": {"id": token, "type_id": segment}}


def _text(name: str, segment: int) -> Component:
    return {"Sequence": {"id": name, "type_id": segment}}


def _frame(value: object, file: str) -> Frame | None:
    """The frame that a post-processor puts around texts; None where there is none."""
    if value is None:
        return None
    fields = Fields.wrap(value, f"post_processor in {file}")
    kind = fields.text("type", "none")
    if kind == "TemplateProcessing":
        return _of_template(fields, file)
    if kind not in {"BertProcessing", "RobertaProcessing"}:
        raise ManifestError(
            f"The post_processor of {file} is {kind}; Cloze reads TemplateProcessing, "
            "BertProcessing or RobertaProcessing."
        )
    cls, sep = _token(fields, "cls"), _token(fields, "sep")
    if kind == "BertProcessing":
        return Frame(cls, sep)
    trim = fields.flag("trim_offsets", default=True), fields.flag("add_prefix_space", default=True)
    return Frame(cls, sep, 2, segments=False, trim=trim)


def _token(fields: Fields, name: str) -> str:
    """The token of the library's pair of a token and its id, which is looked up anew."""
    pair: Any = fields.values.get(name)
    if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
        raise ManifestError(f"{name} in the {fields.file} must be a token and its id.")
    return pair[0]


def _spelled(template: Any, place: int) -> str:
    """The special token at one end of a template; empty where there is none."""
    try:
        found = template[place]["SpecialToken"]["id"]
    except (TypeError, KeyError, IndexError):
        return ""
    return found if isinstance(found, str) else ""


def _of_template(fields: Fields, file: str) -> Frame:
    """The frame whose templates are those of the file."""
    single, pair = fields.values.get("single"), fields.values.get("pair")
    for segments in (True, False):
        for separators in (1, 2):
            frame = Frame(_spelled(single, 0), _spelled(single, -1), separators, segments)
            if template_of(frame) == {"single": single, "pair": pair}:
                return frame
    raise ManifestError(
        f"The single template of {file} is not a special token, a text and a special token, or the "
        "pair template not the same with the last one, once or twice, before a second text."
    )
