"""A tokenizer.json with SentencePiece's pieces and options in, the parts that a class makes out.

XLM-RoBERTa and CamemBERT have its table of characters alone. ALBERT writes quotes, accents and
capitals in one way first; DeBERTa does without the table, and keeps blanks that stand together
apart from words. Knows nothing of special tokens but the unknown one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from export.read.disputes import contradicted, disputed, truth
from export.read.documents import Fields
from export.read.tokenizer_class import TokenizerClass
from models.tokenizer_components import (
    BLANK_RUNS,
    BLANKS,
    PUNCTUATION,
    QUOTES,
    Component,
    kinds_of,
    members_of,
    metaspace,
    sequence,
    words_and_metaspace,
)
from models.tokenizer_json import Parts
from models.tokenizer_models import unk_of
from models.tokenizer_spec import TokenizerSpec

# What version 4 writes around SentencePiece's table; words between blanks make it idle.
_IDLE: Final = {"Precompiled", "Replace", "Strip"}
_STRIP_RIGHT: Final[Component] = {"type": "Strip", "strip_left": False, "strip_right": True}
_DEBERTAS_UNK_ID: Final = 1  # of DebertaV2Tokenizer, where it does not find the unknown piece


@dataclass(frozen=True)
class _Made:
    """What a class makes of its options."""

    normalizer: Component | None
    pre_tokenizer: Component
    decoder: Component


def unigram(known: TokenizerClass, saved: Parts, config: Fields, spec: TokenizerSpec) -> Parts:
    """The tokenizer as its class puts it together, without a frame.

    Args:
        known: the class, one of SentencePiece's.
        saved: tokenizer.json.
        config: tokenizer_config.json.
        spec: how the special tokens are spelled.

    Raises:
        ExportError: versions of transformers would make different tokenizers of the files.
    """
    model = saved.model
    if unk_of(model) != spec.unk:
        raise disputed(f"the unknown piece {unk_of(model)}", spec.unk)
    if known.unk_id not in {None, model["unk_id"]}:
        raise disputed(f"unk_id {model['unk_id']}", known.unk_id)
    made = _MAKERS.get(known.name, _table_alone)(saved, config)
    return Parts(model, made.normalizer, made.pre_tokenizer, made.decoder, None)


# --- XLM-RoBERTa and CamemBERT ----------------------------------------------------------------


def _table_alone(saved: Parts, config: Fields) -> _Made:
    if not truth(config, "add_prefix_space", usual=True):
        raise contradicted("add_prefix_space", False, True)
    normalizers = kinds_of(saved.normalizer)
    if set(normalizers) - _IDLE or "Precompiled" in normalizers[1:]:
        raise disputed(f"the normalizer {' + '.join(normalizers)}", "the table alone")
    last = saved.pre_tokenizer.get("pretokenizers", [saved.pre_tokenizer])[-1]
    if last != metaspace() or saved.decoder != metaspace():
        raise disputed("a Metaspace without a mark before each word", "one with it")
    return _Made(next(iter(_tables(saved)), None), words_and_metaspace(), metaspace())


def _tables(saved: Parts) -> list[Component]:
    """SentencePiece's table, without what stands around it; empty where there is none."""
    return [one for one in members_of(saved.normalizer) if one["type"] == "Precompiled"][:1]


# --- ALBERT -----------------------------------------------------------------------------------


def _albert(saved: Parts, config: Fields) -> _Made:
    normalizers: list[Component] = [*QUOTES]
    if not truth(config, "keep_accents", usual=False):
        normalizers += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if truth(config, "do_lower_case", usual=True):
        normalizers += [{"type": "Lowercase"}]
    scheme = "always" if truth(config, "add_prefix_space", usual=True) else "never"
    normalizer = sequence("normalizers", normalizers + _tables(saved))
    made = _Made(normalizer, words_and_metaspace(scheme), metaspace(scheme))
    found = members_of(saved.normalizer)
    if found[-1:] == [BLANK_RUNS]:
        found = found[:-1]  # words between blanks make it idle
    options = {"do_lower_case": "Lowercase", "keep_accents": "StripAccents"}
    _require_made(made, found, saved, options)
    return made


# --- DeBERTa ----------------------------------------------------------------------------------


def _deberta(saved: Parts, config: Fields) -> _Made:
    _require_unk_id(saved.model, config)
    lowers = truth(config, "do_lower_case", usual=False)
    normalizers: list[Component] = [{"type": "Lowercase"}] if lowers else []
    normalizers += [BLANKS, {"type": "NFC"}, _STRIP_RIGHT]
    scheme = "always" if truth(config, "add_prefix_space", usual=True) else "first"
    pieces = metaspace(scheme)
    if truth(config, "split_by_punct", usual=False):
        pieces = sequence("pretokenizers", [PUNCTUATION, pieces])
    made = _Made(sequence("normalizers", normalizers), pieces, metaspace(scheme))
    options = {"do_lower_case": "Lowercase", "split_by_punct": "Punctuation"}
    _require_made(made, members_of(saved.normalizer), saved, options)
    return made


def _require_unk_id(model: Component, config: Fields) -> None:
    """Version 5 looks for the unknown piece with the score 0, and else takes a number."""
    index: int = model["unk_id"]
    usual = config.integer("unk_id", _DEBERTAS_UNK_ID)
    if model["vocab"][index][1] != 0.0 and index != usual:
        raise disputed(f"unk_id {index}", usual)


_MAKERS: Final[Mapping[str, Callable[[Parts, Fields], _Made]]] = {
    "AlbertTokenizer": _albert,
    "DebertaV2Tokenizer": _deberta,
}


def _require_made(
    made: _Made, found: list[Component], saved: Parts, options: Mapping[str, str]
) -> None:
    """Refuse a tokenizer.json with other components than its class makes.

    Args:
        made: what it makes.
        found: the file's normalizers, without idle ones.
        saved: the file.
        options: an option -> the kind of component that it decides about.
    """
    ours = {
        "normalizer": members_of(made.normalizer),
        "pre_tokenizer": members_of(made.pre_tokenizer),
        "decoder": [made.decoder],
    }
    theirs = {
        "normalizer": found,
        "pre_tokenizer": members_of(saved.pre_tokenizer),
        "decoder": members_of(saved.decoder),
    }
    for part, expected in ours.items():
        if theirs[part] == expected:
            continue
        kinds, usual = ([one["type"] for one in each] for each in (theirs[part], expected))
        if kinds == usual:
            raise disputed(f"a {part} {_listed(kinds)} with other settings", "its own")
        odd = set(kinds) ^ set(usual)
        option = next((option for option, kind in options.items() if kind in odd), None)
        raise disputed(f"the {part} {_listed(kinds)}", _listed(usual), option)


def _listed(kinds: list[str]) -> str:
    return " + ".join(kinds) or "of no kind"
