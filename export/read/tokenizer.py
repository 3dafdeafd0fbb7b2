"""The tokenizer files of a checkpoint in, one complete and harmless tokenizer.json out.

The file is never passed on as it came: its parts are checked (`models.tokenizer_json`) and a new
one is put together from them (`models.tokenizer_file`), without truncation or padding. Knows
nothing of weights but the number of rows that they have for word pieces.
"""

import dataclasses
import re
from pathlib import Path

from export.errors import ExportError
from export.read.documents import Fields, read_text
from export.read.sentence_settings import transformer_fields
from models.manifest import TOKENIZER_FILE, ManifestError
from models.tokenizer_file import tokenizer_json
from models.tokenizer_json import Parts, bert_normalizer, parse_tokenizer

VOCABULARY = "vocab.txt"
# Options of tokenizer_config.json -> fields of the normalizer. Where both files speak,
# transformers follows tokenizer_config.json, and so do we.
_OPTIONS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_tokenizer(folder: Path, *, rows: int, needs_mask: bool) -> str:
    """The tokenizer of a checkpoint as the JSON of the tokenizers library.

    `rows` is the number of word embeddings.

    Raises:
        ExportError: there is none, it is not BERT's, or it does not fit the vocabulary.
    """
    try:
        parts = _with_options(_read_parts(folder), folder)
        return tokenizer_json(parts, rows=rows, needs_mask=needs_mask)
    except ManifestError as error:
        raise ExportError(str(error)) from None


def _read_parts(folder: Path) -> Parts:
    vocabulary = folder / VOCABULARY
    listed = read_vocabulary(vocabulary) if vocabulary.is_file() else None
    if (folder / TOKENIZER_FILE).is_file():
        parts = parse_tokenizer(Fields.of(folder / TOKENIZER_FILE))
        if listed is not None and listed != parts.vocabulary:
            odd = set(listed.items()) ^ set(parts.vocabulary.items())
            raise ExportError(
                f"{TOKENIZER_FILE} and {VOCABULARY} disagree, first about id "
                f"{min(index for _, index in odd)}; remove the wrong one."
            )
        return parts
    if listed is None:
        raise ExportError(f"The checkpoint has neither {TOKENIZER_FILE} nor {VOCABULARY}.")
    if set(Fields.of(folder / "added_tokens.json", optional=True).values) - set(listed):
        raise ExportError(
            f"added_tokens.json adds to {VOCABULARY}; save a {TOKENIZER_FILE} instead."
        )
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
    sentences = transformer_fields(folder)
    if sentences.flag("do_lower_case", default=False) and not normalizer.get("lowercase"):
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, normalizer]}
    return dataclasses.replace(parts, normalizer=normalizer)
