"""The tokenizer files of a checkpoint in, one complete and harmless tokenizer.json out.

The file is never passed on as it came: its parts are checked (`export.read.tokenizer_json`) and a
new one is put together from them, without truncation or padding. Knows nothing of weights but the
number of rows that they have for word pieces.
"""

import dataclasses
import json
from pathlib import Path

from tokenizers import Tokenizer

from export.errors import ExportError
from export.read.documents import Fields
from export.read.tokenizer_json import TEMPLATE, Component, Parts, bert_normalizer, parse_tokenizer
from export.read.vocabulary import VOCABULARY, looks_cased, read_vocabulary

TOKENIZER = "tokenizer.json"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Options of tokenizer_config.json -> fields of the normalizer. Where both files speak,
# transformers follows tokenizer_config.json, and so do we.
_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_tokenizer(folder: Path, *, rows: int, needs_mask: bool) -> str:
    """The tokenizer of a checkpoint as the JSON of the tokenizers library.

    `rows` is the number of word embeddings: ids must stay below it. Fewer pieces than rows is
    common, as tables are padded to round sizes.

    Raises:
        ExportError: there is none, it is not BERT's, or it does not fit the vocabulary.
    """
    parts = _with_options(_read_parts(folder), folder)
    _check_ids(parts, rows)
    parts = _with_special_tokens(parts, needs_mask=needs_mask)
    text = json.dumps(_document(parts), ensure_ascii=False)
    _check_behaviour(text, parts)
    return text


def _read_parts(folder: Path) -> Parts:
    vocabulary = folder / VOCABULARY
    listed = read_vocabulary(vocabulary) if vocabulary.is_file() else None
    if (folder / TOKENIZER).is_file():
        parts = parse_tokenizer(Fields.of(folder / TOKENIZER))
        _check_agreement(parts.vocabulary, listed)
        return parts
    if listed is None:
        raise ExportError(f"The checkpoint has neither {TOKENIZER} nor {VOCABULARY}.")
    added = folder / "added_tokens.json"
    if added.is_file() and set(Fields.of(added).values) - set(listed):
        raise ExportError(f"added_tokens.json adds to {VOCABULARY}; save a {TOKENIZER} instead.")
    return Parts(listed, bert_normalizer(lowercase=not looks_cased(listed)))


def _check_agreement(vocabulary: dict[str, int], listed: dict[str, int] | None) -> None:
    if listed is None or listed == vocabulary:
        return
    odd = min(set(listed.items()) ^ set(vocabulary.items()), key=lambda item: item[1])
    raise ExportError(
        f"{TOKENIZER} and {VOCABULARY} disagree, first about id {odd[1]}; remove the wrong one."
    )


def _with_options(parts: Parts, folder: Path) -> Parts:
    """The parts as tokenizer_config.json and sentence_bert_config.json would have them."""
    normalizer = dict(parts.normalizer)
    options = _fields(folder / "tokenizer_config.json")
    if normalizer["type"] == "BertNormalizer":
        for option, field in _OPTIONS.items():
            if option in options.values:
                normalizer[field] = _option(options, option)
    lowercase_first = _fields(folder / "sentence_bert_config.json").flag(
        "do_lower_case", default=False
    )
    if lowercase_first and not normalizer.get("lowercase"):
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, normalizer]}
    return dataclasses.replace(parts, normalizer=normalizer)


def _option(options: Fields, name: str) -> bool | None:
    """A flag; strip_accents may be null, which means: where lower-casing."""
    if name == "strip_accents" and options.values[name] is None:
        return None
    return options.flag(name, default=True)


def _check_ids(parts: Parts, rows: int) -> None:
    ids = [*parts.vocabulary.values(), *(token["id"] for token in parts.added)]
    if max(ids) >= rows:
        raise ExportError(
            f"The tokenizer does not match the weights: it has ids up to {max(ids)}, "
            f"they have {rows} word embeddings."
        )


def _with_special_tokens(parts: Parts, *, needs_mask: bool) -> Parts:
    """Every special token the vocabulary has is marked as one, so that text can contain it."""
    ids = parts.vocabulary | {token["content"]: token["id"] for token in parts.added}
    required = SPECIAL if needs_mask else SPECIAL[:-1]
    if missing := [name for name in required if name not in ids]:
        raise ExportError(f"The tokenizer lacks {', '.join(missing)}.")
    own = {token["content"]: token for token in parts.added}
    for name in SPECIAL:
        if name in ids:
            strips = {side: own.get(name, {}).get(side, False) for side in ("lstrip", "rstrip")}
            own[name] = _special(name, ids[name]) | strips
    added = sorted(own.values(), key=lambda token: int(token["id"]))
    return dataclasses.replace(parts, added=tuple(added))


def _special(name: str, index: int) -> Component:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": name, **flags, "special": True}


def _document(parts: Parts) -> Component:
    ids = parts.vocabulary | {token["content"]: token["id"] for token in parts.added}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(parts.added),
        "normalizer": parts.normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            **TEMPLATE,
            "special_tokens": {
                name: {"id": name, "ids": [ids[name]], "tokens": [name]}
                for name in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": parts.max_chars_per_word,
            "vocab": parts.vocabulary,
        },
    }


def _check_behaviour(text: str, parts: Parts) -> None:
    """The library takes it, and gives every added token the id that the file gives it."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # noqa: BLE001 (the library raises nothing narrower)
        raise ExportError(f"{TOKENIZER} is not usable: {error}.") from None
    for token in parts.added:
        if tokenizer.token_to_id(token["content"]) != token["id"]:
            raise ExportError(f"{TOKENIZER} gives an added token an id that is not free.")


def _fields(path: Path) -> Fields:
    return Fields.of(path) if path.is_file() else Fields({}, path.name)
