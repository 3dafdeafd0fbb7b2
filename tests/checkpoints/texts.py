"""Ragged texts by language, in its own script: what small tokenizers learn and are asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

MANY: Final = "many"
_FILE: Final = Path(__file__).with_suffix(".json")


def _read() -> Mapping[str, Sequence[str]]:
    texts: dict[str, list[str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    # Of each language a short one and a long one.
    return texts | {MANY: [text for own in texts.values() for text in own[:3:2]]}


TEXTS: Final = _read()
