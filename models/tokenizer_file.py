"""The parts of a tokenizer in, the one tokenizer.json that Cloze writes of them out.

The exporter writes it, and the server takes no other: what is in a model folder is taken apart
(`models.tokenizer_json`), put together again, and has to be the same. How special tokens are
spelled, the manifest says.
"""

import dataclasses
import json
from pathlib import Path

from tokenizers import Tokenizer

from models.fields import Fields
from models.heads import MLM
from models.manifest import TOKENIZER_FILE, ManifestError, ModelManifest, read_json
from models.tokenizer_components import Component, kinds_of
from models.tokenizer_json import Frame, Parts, parse_tokenizer, template_of
from models.tokenizer_models import unk_of
from models.tokenizer_spec import TokenizerSpec


def require_tokenizer(folder: Path, manifest: ModelManifest) -> None:
    """Refuse a model folder whose tokenizer.json is not what the exporter would write.

    Raises:
        ManifestError: it is not, or it does not fit the vocabulary, the heads or the manifest.
    """
    path = folder / TOKENIZER_FILE
    fields = Fields.wrap(read_json(path), f"{folder.name}/{TOKENIZER_FILE}")
    rows, spec = manifest.architecture.vocab_size, manifest.tokenizer
    parts = parse_tokenizer(fields)
    try:
        ours = tokenizer_json(parts, spec, rows=rows, needs_mask=MLM.name in manifest.heads)
    except ManifestError as error:
        raise ManifestError(f"{fields.file}: {error}") from None
    if ours == path.read_text(encoding="utf-8"):
        return
    for part, expected in json.loads(ours).items():
        # Not the values: in Python true is 1.
        if _sorted(fields.values.get(part)) != _sorted(expected):
            raise ManifestError(f"{fields.file}: {part} is not what the exporter writes.")


def tokenizer_json(parts: Parts, spec: TokenizerSpec, *, rows: int, needs_mask: bool) -> str:
    """The JSON of the tokenizers library, for weights with `rows` word embeddings.

    Ids must stay below `rows`. Fewer pieces than rows is common, as tables are padded to round
    sizes.

    Raises:
        ManifestError: there are more pieces, a special token lacks or is none, or ids collide.
    """
    if (highest := max(parts.ids.values())) >= rows:
        raise ManifestError(
            f"The tokenizer does not match the weights: it has ids up to {highest}, "
            f"they have {rows} word embeddings."
        )
    _require_spec(parts, spec)
    parts = _with_special_tokens(parts, spec, needs_mask=needs_mask)
    text = json.dumps(_document(parts, spec), ensure_ascii=False)
    _check_behaviour(text, parts)
    return text


def _sorted(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _require_spec(parts: Parts, spec: TokenizerSpec) -> None:
    """What the file frames texts with is what the manifest says."""
    if (unk := unk_of(parts.model)) not in {None, spec.unk}:
        raise ManifestError(f"The model's unknown token is {unk}; it must be {spec.unk}.")
    if (kinds_of(parts.pre_tokenizer) == ["WhitespaceSplit"]) != bool(spec.words):
        raise ManifestError(
            "The pre_tokenizer must be WhitespaceSplit where words are found with a dictionary "
            f"({spec.words or 'none is named'}), and nowhere else."
        )
    frame = parts.frame
    if frame is None:
        return
    # Segments may be left out by what reads the file, not put in.
    same = (frame.cls, frame.sep, frame.pair_separators) == (
        spec.cls,
        spec.sep,
        spec.pair_separators,
    )
    if not same or (spec.segments and not frame.segments):
        raise ManifestError(
            f"The post_processor puts {frame.cls} and {frame.sep} around a text and {frame.sep} "
            f"{frame.pair_separators} times before a second one in segment {int(frame.segments)}; "
            f"it must be {spec.cls}, {spec.sep}, {spec.pair_separators} and {int(spec.segments)}."
        )


def _with_special_tokens(parts: Parts, spec: TokenizerSpec, *, needs_mask: bool) -> Parts:
    """Every special token the vocabulary has is marked as one, so that text can contain it."""
    ids = parts.ids
    required = spec.names if needs_mask else spec.names[:-1]
    if missing := [name for name in required if name not in ids]:
        raise ManifestError(f"The tokenizer lacks {', '.join(missing)}.")
    own = {token["content"]: token for token in parts.added}
    for name in spec.names:
        if name in own and not own[name]["special"]:
            raise ManifestError(f"The added token {name} must be special.")
        if name in ids and name not in own:
            flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
            own[name] = {"id": ids[name], "content": name, **flags, "special": True}
    added = sorted(own.values(), key=lambda token: int(token["id"]))
    return dataclasses.replace(parts, added=tuple(added))


def _document(parts: Parts, spec: TokenizerSpec) -> Component:
    frame = parts.frame or Frame(spec.cls, spec.sep, spec.pair_separators)
    frame = dataclasses.replace(frame, segments=spec.segments)
    decoder = parts.decoder or {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(parts.added),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": _post_processor(frame, parts.ids),
        "decoder": decoder,
        "model": parts.model,
    }


def _post_processor(frame: Frame, ids: dict[str, int]) -> Component:
    if frame.trim is not None:
        return {
            "type": "RobertaProcessing",
            "sep": [frame.sep, ids[frame.sep]],
            "cls": [frame.cls, ids[frame.cls]],
            "trim_offsets": frame.trim[0],
            "add_prefix_space": frame.trim[1],
        }
    return {
        "type": "TemplateProcessing",
        **template_of(frame),
        "special_tokens": {
            name: {"id": name, "ids": [ids[name]], "tokens": [name]}
            for name in (frame.cls, frame.sep)
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
