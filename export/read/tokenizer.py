"""The tokenizer files of a checkpoint in, one complete and harmless tokenizer.json out.

The file is never passed on as it came: its parts are checked (`export.read.tokenizer_json`) and a
new one is put together from them, without truncation or padding. Knows nothing of weights but the
number of rows that they have for word pieces.
"""

import dataclasses
import json
import re
from pathlib import Path

from tokenizers import Tokenizer

from export.errors import ExportError
from export.read.documents import Fields, read_text
from export.read.tokenizer_json import TEMPLATE, Component, Parts, bert_normalizer, parse_tokenizer

TOKENIZER = "tokenizer.json"
VOCABULARY = "vocab.txt"
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
    if (highest := max([*parts.vocabulary.values(), *parts.ids.values()])) >= rows:
        raise ExportError(
            f"The tokenizer does not match the weights: it has ids up to {highest}, "
            f"they have {rows} word embeddings."
        )
    parts = _with_special_tokens(parts, needs_mask=needs_mask)
    text = json.dumps(_document(parts), ensure_ascii=False)
    _check_behaviour(text, parts)
    return text


def _read_parts(folder: Path) -> Parts:
    vocabulary = folder / VOCABULARY
    listed = read_vocabulary(vocabulary) if vocabulary.is_file() else None
    if (folder / TOKENIZER).is_file():
        parts = parse_tokenizer(Fields.of(folder / TOKENIZER))
        if listed is not None and listed != parts.vocabulary:
            odd = set(listed.items()) ^ set(parts.vocabulary.items())
            raise ExportError(
                f"{TOKENIZER} and {VOCABULARY} disagree, first about id "
                f"{min(index for _, index in odd)}; remove the wrong one."
            )
        return parts
    if listed is None:
        raise ExportError(f"The checkpoint has neither {TOKENIZER} nor {VOCABULARY}.")
    if set(Fields.of(folder / "added_tokens.json", optional=True).values) - set(listed):
        raise ExportError(f"added_tokens.json adds to {VOCABULARY}; save a {TOKENIZER} instead.")
    return Parts(listed, bert_normalizer(lowercase=not looks_cased(listed)))


def read_vocabulary(path: Path) -> dict[str, int]:
    """Word piece -> id. A piece on two lines keeps the later id, as everywhere else.

    Raises:
        ExportError: the file cannot be read.
    """
    # Not splitlines(): vocabularies of many languages hold U+2028 and its like as pieces.
    lines = read_text(path).removesuffix("\n").split("\n")
    return {piece: index for index, piece in enumerate(lines)}


def looks_cased(vocabulary: dict[str, int]) -> bool:
    """Whether the pieces keep capital letters; [CLS] and its like do not count.

    >>> looks_cased({"[CLS]": 0, "paris": 1})
    False
    >>> looks_cased({"[CLS]": 0, "Paris": 1})
    True
    """
    return any(re.search("[A-Z]", piece) for piece in vocabulary if not re.match(r"\[.+\]$", piece))


def _with_options(parts: Parts, folder: Path) -> Parts:
    """The parts as tokenizer_config.json and sentence_bert_config.json would have them."""
    normalizer = dict(parts.normalizer)
    options = Fields.of(folder / "tokenizer_config.json", optional=True)
    if normalizer["type"] == "BertNormalizer":
        for option, field in _OPTIONS.items():
            # strip_accents may be null, which means: where lower-casing.
            if option == "strip_accents" and options.values.get(option, True) is None:
                normalizer[field] = None
            elif option in options.values:
                normalizer[field] = options.flag(option, default=True)
    sentences = Fields.of(folder / "sentence_bert_config.json", optional=True)
    if sentences.flag("do_lower_case", default=False) and not normalizer.get("lowercase"):
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, normalizer]}
    return dataclasses.replace(parts, normalizer=normalizer)


def _with_special_tokens(parts: Parts, *, needs_mask: bool) -> Parts:
    """Every special token the vocabulary has is marked as one, so that text can contain it."""
    ids = parts.ids
    required = SPECIAL if needs_mask else SPECIAL[:-1]
    if missing := [name for name in required if name not in ids]:
        raise ExportError(f"The tokenizer lacks {', '.join(missing)}.")
    own = {token["content"]: token for token in parts.added}
    for name in SPECIAL:
        if name in ids:
            strips = {side: own.get(name, {}).get(side, False) for side in ("lstrip", "rstrip")}
            flags = {"single_word": False, **strips, "normalized": False, "special": True}
            own[name] = {"id": ids[name], "content": name, **flags}
    added = sorted(own.values(), key=lambda token: int(token["id"]))
    return dataclasses.replace(parts, added=tuple(added))


def _document(parts: Parts) -> Component:
    ids = parts.ids
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
