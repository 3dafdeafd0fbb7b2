"""Ragged texts by language, in its own script: tokenizers learn them all and are asked them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MANY: Final = "many"
NAMES: Final = {
    "ar": "Arabic", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "nl": "Dutch", "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "vi": "Vietnamese", "zh": "Chinese", MANY: "many",
}  # fmt: skip
_FILE: Final = Path(__file__).with_suffix(".json")


def _read() -> Mapping[str, tuple[str, ...]]:
    read: dict[str, list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    texts = {language: tuple(own) for language, own in read.items()}
    # Of each language its short text or its long one, in turn.
    return texts | {MANY: tuple(own[n % 2 * 2] for n, own in enumerate(texts.values()))}


TEXTS: Final = _read()
EVERY: Final = tuple(dict.fromkeys(text for own in TEXTS.values() for text in own))
