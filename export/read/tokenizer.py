"""The tokenizer files of a checkpoint in, one complete and harmless tokenizer.json out.

THE FLOW: class and options -> vocabulary or tokenizer.json -> what the class makes of it -> added
tokens -> the file. None is passed on as it came: its parts are checked (`models.tokenizer_json`)
and a new one put together from them (`models.tokenizer_file`), without truncation or padding.
Knows nothing of weights but the number of rows that they have for word pieces.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from export.errors import ExportError
from export.read.documents import Fields
from export.read.files import check_file
from export.read.japanese import japanese_parts, japanese_spec
from export.read.sentence_settings import transformer_fields
from export.read.special_tokens import Declared, read_declared, with_declared
from export.read.tokenizer_class import CONFIG, JAPANESE, TokenizerClass, read_class
from export.read.tokenizer_parts import build, take
from export.read.vocabulary import (
    BPE_VOCABULARY,
    MERGES,
    VOCABULARY,
    read_byte_pairs,
    read_vocabulary,
)
from models.manifest import TOKENIZER_FILE, ManifestError
from models.tokenizer_components import Component
from models.tokenizer_file import tokenizer_json
from models.tokenizer_json import Parts, parse_tokenizer
from models.tokenizer_models import BPE, UNIGRAM, WORD_PIECE, bpe, ids_of, unk_of, word_piece
from models.tokenizer_spec import TokenizerSpec

_SENTENCEPIECE = "*.model"


@dataclass(frozen=True)
class ReadTokenizer:
    """A checkpoint's tokenizer in Cloze's own terms."""

    json: str
    """As the tokenizers library reads it, with truncation and padding null."""
    spec: TokenizerSpec
    notes: tuple[str, ...] = ()
    """What no file said and was decided, each with its reason."""


def read_tokenizer(
    folder: Path,
    *,
    rows: int,
    needs_mask: bool,
    needs_pairs: bool = False,
    lowercase: bool | None = None,
) -> ReadTokenizer:
    """The tokenizer of a checkpoint.

    Args:
        folder: where its files are.
        rows: word embeddings that the weights have.
        needs_mask: whether there is a head that fills masks.
        needs_pairs: whether there is a head that reads two texts.
        lowercase: whether word pieces are lower-cased, where no file says so; None to decide by
            the vocabulary.

    Raises:
        ExportError: there is none, it is not one that Cloze reads exactly as transformers does, or
            it does not fit the vocabulary.
    """
    try:
        return _read(folder, rows, needs_mask, needs_pairs, lowercase)
    except ManifestError as error:
        raise ExportError(str(error)) from None


def _read(
    folder: Path, rows: int, needs_mask: bool, needs_pairs: bool, lowercase: bool | None
) -> ReadTokenizer:
    config = Fields.of(folder / CONFIG, optional=True)
    known = read_class(folder, config)
    declared = read_declared(folder, config, known)
    spec = declared.spec(known.spec)
    saved = _saved(folder)
    if known.kind is None:
        if saved is None:
            raise ExportError(f"The checkpoint has no {TOKENIZER_FILE}, which {known.name} takes.")
        spec = declared.spec(_spec_of(saved))
        parts, notes = take(saved, config, lowercase)
    elif known.name == JAPANESE:
        # Its class reads vocab.txt, whatever a tokenizer.json says.
        spec = japanese_spec(spec, config)
        parts, notes = japanese_parts(_model(folder, known.kind, None, spec), spec), ()
        if lowercase is not None:
            raise ExportError("--lowercase and --no-lowercase are not for Japanese words.")
    else:
        model = _model(folder, known.kind, saved, spec)
        parts, notes = build(known, spec, model, saved, config, lowercase)
        if saved:
            parts = dataclasses.replace(parts, added=_added(saved, declared))
    if needs_mask:
        _require_mask(parts, spec, declared, known)
    if needs_pairs and known.segments_disputed and not config.texts("model_input_names"):
        raise ExportError(
            f"{CONFIG} does not say whether the second text of a pair is of segment 1, and "
            "versions of transformers differ: set model_input_names there, with token_type_ids if "
            "the model learnt with them."
        )
    _require_apart(spec, declared, known)
    spec = _with_options(spec, config, known, parts.kind)
    parts = _without_blank(with_declared(parts, declared, spec, None if needs_mask else rows), rows)
    parts = _lowered_first(parts, spec, folder)
    if spec.words and any(token["single_word"] for token in parts.added):
        raise ExportError("An added token is to stand alone, which MeCab's words do not know.")
    text = tokenizer_json(parts, spec, rows=rows, needs_mask=needs_mask)
    parse_tokenizer(Fields.wrap(json.loads(text), TOKENIZER_FILE))  # as the server will
    return ReadTokenizer(text, spec, notes)


def _saved(folder: Path) -> Parts | None:
    """The tokenizer.json of a checkpoint; None where it has none."""
    if not (folder / TOKENIZER_FILE).is_file():
        return None
    document = Fields.of(folder / TOKENIZER_FILE)
    padding = document.values.get("padding")
    if isinstance(padding, dict) and padding.get("direction", "Right") != "Right":
        raise ExportError(
            f"The padding of {TOKENIZER_FILE} is on the left, which Cloze cannot do as "
            "transformers does."
        )
    parts = parse_tokenizer(document)
    vocabulary = folder / VOCABULARY
    if parts.kind == WORD_PIECE and vocabulary.is_file():
        listed, own = _items(read_vocabulary(vocabulary)), _items(ids_of(parts.model))
        if odd := listed ^ own:
            raise ExportError(
                f"{TOKENIZER_FILE} and {VOCABULARY} disagree, first about id "
                f"{min(index for _, index in odd)}; remove the wrong one."
            )
    return parts


def _items(vocabulary: dict[str, int]) -> set[tuple[str, int]]:
    """Pieces with their ids, but for those of white space, which no text is read as."""
    return {item for item in vocabulary.items() if item[0].strip()}


def _model(folder: Path, kind: str, saved: Parts | None, spec: TokenizerSpec) -> Component:
    """The vocabulary of a class that puts models of a kind together."""
    if saved:
        if saved.kind != kind:
            raise ExportError(f"{TOKENIZER_FILE} holds a {saved.kind} model; its class a {kind}.")
        return saved.model
    if kind == WORD_PIECE and (folder / VOCABULARY).is_file():
        return word_piece(read_vocabulary(folder / VOCABULARY), spec.unk)
    if kind == BPE and (folder / BPE_VOCABULARY).is_file() and (folder / MERGES).is_file():
        return bpe(*read_byte_pairs(folder))
    files = {WORD_PIECE: VOCABULARY, BPE: f"{BPE_VOCABULARY} with {MERGES}"}
    if kind == UNIGRAM or any(folder.glob(_SENTENCEPIECE)):
        models = sorted(folder.glob(_SENTENCEPIECE))
        for path in models:
            check_file(path)  # what converts it needs the file itself
        found = " ".join(path.name for path in models)
        raise ExportError(
            f"The checkpoint has no {TOKENIZER_FILE}{found and f', only {found}'}: load it with "
            "transformers' AutoTokenizer and save it, which writes one."
        )
    raise ExportError(f"The checkpoint has neither {TOKENIZER_FILE} nor {files[kind]}.")


def _spec_of(saved: Parts) -> TokenizerSpec:
    """What tokenizer.json itself says, and of pad and mask the spelling that its own family has."""
    usual = TokenizerSpec() if "[MASK]" in saved.ids else TokenizerSpec(pad="<pad>", mask="<mask>")
    if saved.frame is None:
        return usual
    unk = unk_of(saved.model) or ("[UNK]" if "[UNK]" in saved.ids else "<unk>")
    return dataclasses.replace(
        usual,
        cls=saved.frame.cls,
        sep=saved.frame.sep,
        unk=unk,
        pair_separators=saved.frame.pair_separators,
        segments=saved.frame.segments,
    )


def _added(saved: Parts, declared: Declared) -> tuple[Component, ...]:
    """The added tokens of tokenizer.json, which must be among those that claim to be all."""
    if declared.complete:
        known = {token["content"] for token in declared.every()}
        if lost := [one["content"] for one in saved.added if one["content"] not in known]:
            raise ExportError(
                f"{TOKENIZER_FILE} adds the token {lost[0]}, which added_tokens_decoder in "
                f"{CONFIG} lacks; versions of transformers differ in which of them counts."
            )
    return saved.added


def _require_mask(
    parts: Parts, spec: TokenizerSpec, declared: Declared, known: TokenizerClass
) -> None:
    """A file says whether the mask takes the blank before it, where versions differ in that."""
    told = {token["content"] for token in (*parts.added, *declared.numbered)}
    if known.mask_disputed and spec.mask not in told and not declared.flags_mask:
        raise ExportError(
            f"No file says whether {spec.mask} takes the blank before it, and versions of "
            "transformers differ: load the tokenizer with the version that the model was trained "
            f"with and save it, which writes {TOKENIZER_FILE}."
        )


def _require_apart(spec: TokenizerSpec, declared: Declared, known: TokenizerClass) -> None:
    """Each special token has its own spelling, and begins and ends what it is said to."""
    if len(set(spec.names)) < len(spec.names):
        raise ExportError(f"Two of the special tokens {', '.join(spec.names)} are spelled alike.")
    if not known.ends_frame:
        return
    tokens = {**declared.usual, **declared.named}
    ends = tokens["bos_token"]["content"], tokens["eos_token"]["content"]
    if ends != (spec.cls, spec.sep):
        raise ExportError(
            f"{known.name} puts bos_token and eos_token around texts, here {' and '.join(ends)}, "
            f"and cls_token and sep_token are {spec.cls} and {spec.sep}."
        )


def _with_options(
    spec: TokenizerSpec, config: Fields, known: TokenizerClass, kind: str
) -> TokenizerSpec:
    """The spec as tokenizer_config.json changes it; BPE's texts are never cleaned up."""
    names = config.texts("model_input_names")
    listed = "token_type_ids" in names if names else known.lists_segments
    cleans = config.flag("clean_up_tokenization_spaces", default=False)
    return dataclasses.replace(
        spec, segments=spec.segments and listed, clean_up=cleans and kind != BPE
    )


def _without_blank(parts: Parts, rows: int) -> Parts:
    """The parts without an empty piece beyond the weights, of the last lines of a vocab.txt."""
    vocabulary = parts.model["vocab"]
    if parts.kind != WORD_PIECE or vocabulary.get("", 0) < rows:
        return parts
    kept = {piece: index for piece, index in vocabulary.items() if piece}
    return dataclasses.replace(parts, model=parts.model | {"vocab": kept})


def _lowered_first(parts: Parts, spec: TokenizerSpec, folder: Path) -> Parts:
    """The parts as sentence_bert_config.json would have them."""
    sentences = transformer_fields(folder)
    normalizer = parts.normalizer or {}
    if not sentences.flag("do_lower_case", default=False) or normalizer.get("lowercase"):
        return parts
    if spec.words:
        raise ExportError("sentence_bert_config.json lower-cases texts before MeCab reads them.")
    inner = normalizer.get("normalizers", [normalizer] if normalizer else [])
    chain = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *inner]}
    return dataclasses.replace(parts, normalizer=chain)
