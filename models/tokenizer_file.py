"""The parts of a BERT tokenizer in, the one tokenizer.json that Cloze writes of them out.

The exporter writes it, and the server takes no other: what is in a model folder is taken apart
(`models.tokenizer_json`), put together again, and has to be the same.
"""

import dataclasses
import json
from pathlib import Path

from tokenizers import Tokenizer

from models.fields import Fields
from models.heads import MLM
from models.manifest import TOKENIZER_FILE, ManifestError, ModelManifest, read_json
from models.tokenizer_json import TEMPLATE, Component, Parts, parse_tokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def require_tokenizer(folder: Path, manifest: ModelManifest) -> None:
    """Refuse a model folder whose tokenizer.json is not what the exporter would write.

    Raises:
        ManifestError: it is not, or it does not fit the vocabulary and the heads.
    """
    path = folder / TOKENIZER_FILE
    fields = Fields.wrap(read_json(path), f"{folder.name}/{TOKENIZER_FILE}")
    rows = manifest.architecture.vocab_size
    parts = parse_tokenizer(fields)
    try:
        ours = tokenizer_json(parts, rows=rows, needs_mask=MLM.name in manifest.heads)
    except ManifestError as error:
        raise ManifestError(f"{fields.file}: {error}") from None
    if ours == path.read_text(encoding="utf-8"):
        return
    for part, expected in json.loads(ours).items():
        # Not the values: in Python true is 1.
        if _sorted(fields.values.get(part)) != _sorted(expected):
            raise ManifestError(f"{fields.file}: {part} is not what the exporter writes.")


def tokenizer_json(parts: Parts, *, rows: int, needs_mask: bool) -> str:
    """The JSON of the tokenizers library, for weights with `rows` word embeddings.

    Ids must stay below `rows`. Fewer pieces than rows is common, as tables are padded to round
    sizes.

    Raises:
        ManifestError: there are more pieces, a special token lacks, or ids collide.
    """
    if (highest := max(parts.ids.values())) >= rows:
        raise ManifestError(
            f"The tokenizer does not match the weights: it has ids up to {highest}, "
            f"they have {rows} word embeddings."
        )
    parts = _with_special_tokens(parts, needs_mask=needs_mask)
    text = json.dumps(_document(parts), ensure_ascii=False)
    _check_behaviour(text, parts)
    return text


def _sorted(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _with_special_tokens(parts: Parts, *, needs_mask: bool) -> Parts:
    """Every special token the vocabulary has is marked as one, so that text can contain it."""
    ids = parts.ids
    required = SPECIAL if needs_mask else SPECIAL[:-1]
    if missing := [name for name in required if name not in ids]:
        raise ManifestError(f"The tokenizer lacks {', '.join(missing)}.")
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
        raise ManifestError(f"{TOKENIZER_FILE} is not usable: {error}.") from None
    for token in parts.added:
        if tokenizer.token_to_id(token["content"]) != token["id"]:
            raise ManifestError(f"{TOKENIZER_FILE} gives an added token an id that is not free.")
