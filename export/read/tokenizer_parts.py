"""A class of transformers, a vocabulary and options in, the parts of the tokenizer they make out.

Version 5 of transformers puts most tokenizers together anew and takes only the vocabulary from a
tokenizer.json; version 4 takes all of that file and then changes what options say. Where both come
to the same, so does Cloze; where they do not, the file is refused and its part named, as one of
them would find other tokens than the model learnt.
"""

import dataclasses

from export.errors import ExportError
from export.read.disputes import (
    LOWERCASE,
    NO_LOWERCASE,
    contradicted,
    disputed,
    truth,
    unused,
)
from export.read.documents import Fields
from export.read.sentencepiece import unigram
from export.read.tokenizer_class import CONFIG, TokenizerClass
from export.read.vocabulary import VOCABULARY, capitals, looks_cased
from models.manifest import TOKENIZER_FILE
from models.tokenizer_components import (
    Component,
    bert_normalizer,
    byte_level,
    kinds_of,
)
from models.tokenizer_json import Frame, Parts
from models.tokenizer_models import UNIGRAM, WORD_CHARS, WORD_PIECE, ids_of
from models.tokenizer_spec import TokenizerSpec

# Options of tokenizer_config.json -> fields of the normalizer, and what the class takes without.
_NORMALIZER = {
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
_BYTES = 256

Built = tuple[Parts, tuple[str, ...]]
"""Parts, and what was decided that no file says."""


def build(
    known: TokenizerClass,
    spec: TokenizerSpec,
    model: Component,
    saved: Parts | None,
    config: Fields,
    lowercase: bool | None,
) -> Built:
    """The tokenizer as its class puts it together.

    Args:
        known: the class.
        spec: how the special tokens are spelled.
        model: the vocabulary.
        saved: a tokenizer.json where there is one.
        config: tokenizer_config.json.
        lowercase: what the person who exports has chosen.

    Raises:
        ExportError: versions of transformers would make different tokenizers of the files.
    """
    if saved and saved.frame:
        _require_frame(saved.frame, spec, known)
    if known.kind == WORD_PIECE:
        return _word_piece(known, model, saved, config, spec, lowercase)
    if lowercase is not None:
        raise unused(lowercase, "its own normalizer decides")
    if known.kind == UNIGRAM and saved:
        return dataclasses.replace(unigram(known, saved, config, spec), frame=_frame(spec)), ()
    return _byte_pairs(model, saved, config, spec), ()


def take(saved: Parts, config: Fields, lowercase: bool | None) -> Built:
    """A tokenizer.json as it is, of a class that takes it so.

    Raises:
        ExportError: it puts no special tokens around texts, or an option contradicts it.
    """
    if saved.frame is None:
        raise ExportError(
            f"{TOKENIZER_FILE} has no post_processor, so that transformers puts no special tokens "
            "around a text; Cloze serves encoders that were trained with them."
        )
    first = saved.pre_tokenizer.get("add_prefix_space")
    if first is not None and truth(config, "add_prefix_space", usual=first) != first:
        raise contradicted("add_prefix_space", config.values["add_prefix_space"], first)
    normalizer = saved.normalizer or {}
    if lowercase is not None and normalizer.get("lowercase", not lowercase) != lowercase:
        raise unused(lowercase, f"{TOKENIZER_FILE} is taken as it is")
    return saved, ()


# --- word pieces ------------------------------------------------------------------------------


def _word_piece(
    known: TokenizerClass,
    model: Component,
    saved: Parts | None,
    config: Fields,
    spec: TokenizerSpec,
    lowercase: bool | None,
) -> Built:
    file = _file_normalizer(saved)
    lowers, notes = _lowercase(ids_of(model), file, config, lowercase)
    normalizer = bert_normalizer(lowercase=lowers)
    for option, (field, usual) in _NORMALIZER.items():
        normalizer[field] = _option(config, option, usual)
        if file and option not in config.values and file[field] != usual:
            raise disputed(f"{field} {file[field]}", usual, option)
    if saved:
        _require_usual(saved, file)
    longest = model["max_input_chars_per_word"]
    if longest != WORD_CHARS:
        raise disputed(f"max_input_chars_per_word {longest}", WORD_CHARS)
    parts = Parts(
        model,
        normalizer,
        {"type": "BertPreTokenizer"},
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        _frame(spec, known.trim),
    )
    return parts, notes


def _file_normalizer(saved: Parts | None) -> Component | None:
    if saved is None:
        return None
    file = saved.normalizer or {}
    if file.get("type") != "BertNormalizer":
        kinds = " + ".join(kinds_of(saved.normalizer))
        raise disputed(f"the normalizer {kinds}", "BertNormalizer")
    return file


def _require_usual(saved: Parts, file: Component | None) -> None:
    if file and not file["clean_text"]:
        raise disputed("clean_text False", True)
    if saved.decoder and not saved.decoder["cleanup"]:
        raise disputed("a decoder with cleanup False", True)


def _lowercase(
    vocabulary: dict[str, int], file: Component | None, config: Fields, chosen: bool | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether to lower-case, and why, where no file says so.

    What tokenizer_config.json says counts. Without that, transformers lower-cases whatever the
    vocabulary; a tokenizer.json that says otherwise is one word against another.
    """
    if config.values.get("do_lower_case") is not None:
        said = config.flag("do_lower_case", default=True)
        if chosen not in {None, said}:
            raise unused(chosen, f"{CONFIG} sets do_lower_case to {said}")
        return said, ()
    if chosen is not None:
        return chosen, ()
    if file is not None:
        if not file["lowercase"]:
            raise ExportError(
                f"{TOKENIZER_FILE} does not lower-case and transformers would, as {CONFIG} does "
                f"not set do_lower_case: choose {LOWERCASE} or {NO_LOWERCASE}."
            )
        return True, ()
    cased, lettered = capitals(vocabulary)
    lowers = not looks_cased(vocabulary)
    note = (
        f"texts are {'' if lowers else 'not '}lower-cased: {cased} of the {lettered} pieces of "
        f"{VOCABULARY} with letters have a capital, and no file sets do_lower_case "
        f"({NO_LOWERCASE if lowers else LOWERCASE} decides otherwise)"
    )
    return lowers, (note,)


def _option(config: Fields, option: str, usual: bool | None) -> bool | None:
    if config.values.get(option) is None:
        return None if option in config.values and usual is None else usual
    return config.flag(option, default=True)


# --- byte-level BPE ---------------------------------------------------------------------------


def _byte_pairs(
    model: Component, saved: Parts | None, config: Fields, spec: TokenizerSpec
) -> Parts:
    first = truth(config, "add_prefix_space", usual=False)
    trim = truth(config, "trim_offsets", usual=True)
    if saved and saved.normalizer:
        raise disputed(f"the normalizer {' + '.join(kinds_of(saved.normalizer))}", "none")
    if saved and not saved.pre_tokenizer["use_regex"]:
        raise disputed("a pre_tokenizer with use_regex False", True)
    if model["ignore_merges"]:
        raise disputed("ignore_merges True", False)
    spelled = sum(len(piece) == 1 for piece in model["vocab"])
    if (model["unk_token"] is not None or model["fuse_unk"]) and spelled < _BYTES:
        raise disputed(f"the unknown token {model['unk_token']}", "none")
    plain = {"unk_token": None, "fuse_unk": False, "continuing_subword_prefix": ""}
    frame = Frame(spec.cls, spec.sep, 2, segments=False, trim=(trim, first))
    level = byte_level(add_prefix_space=first)
    return Parts(
        model | plain | {"end_of_word_suffix": ""},
        None,
        level,
        byte_level(add_prefix_space=True),
        frame,
    )


# --- what they share --------------------------------------------------------------------------


def _frame(spec: TokenizerSpec, trim: tuple[bool, bool] | None = None) -> Frame:
    return Frame(spec.cls, spec.sep, spec.pair_separators, spec.segments, trim)


def _require_frame(frame: Frame, spec: TokenizerSpec, known: TokenizerClass) -> None:
    theirs = (frame.cls, frame.sep, frame.pair_separators)
    ours = (spec.cls, spec.sep, spec.pair_separators)
    if theirs != ours or (spec.segments and not frame.segments):
        raise ExportError(
            f"The post_processor of {TOKENIZER_FILE} puts {_framed(*theirs, frame.segments)}, and "
            f"{known.name} puts {_framed(*ours, spec.segments)}."
        )


def _framed(cls: str, sep: str, separators: int, segments: bool) -> str:
    other = "in segment 1" if segments else "in segment 0"
    return f"{cls} a {' '.join([sep] * separators)} b {sep} around a pair, with b {other}"
