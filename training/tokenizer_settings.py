"""A folder with a tokenizer.json in, the tokenizer_config.json that says the same out.

transformers makes BERT's tokenizer anew from what tokenizer_config.json says, and from its defaults
where it says nothing: without one it lower-cases every text, also for a cased model.
"""

import json
from pathlib import Path
from typing import Any

from training.vocabulary import TOKENIZER_FILE

SETTINGS_FILE = "tokenizer_config.json"
_SPECIAL = ("unk", "sep", "pad", "cls", "mask")


def write_settings(folder: Path, positions: int) -> None:
    """Complete `folder`'s tokenizer_config.json, or write it.

    What its tokenizer.json does is what is said; other settings stay as they were. The longest
    input is that of a model with so many `positions`, where it is not shorter.
    """
    path = folder / SETTINGS_FILE
    before = json.loads(path.read_bytes()) if path.is_file() else {}
    tokenizer = json.loads((folder / TOKENIZER_FILE).read_bytes())
    text = json.dumps(settings_of(tokenizer, before, positions), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def settings_of(
    tokenizer: dict[str, Any], before: dict[str, Any], positions: int
) -> dict[str, Any]:
    """The settings of a tokenizer.json, with those there were `before` beside them.

    >>> made = settings_of({"normalizer": {"type": "BertNormalizer", "lowercase": False}}, {}, 512)
    >>> made["do_lower_case"], made["model_max_length"], made["mask_token"]
    (False, 512, '[MASK]')
    """
    usual = {"tokenizer_class": "BertTokenizer"}
    usual |= {f"{name}_token": f"[{name.upper()}]" for name in _SPECIAL}
    longest = before.get("model_max_length")
    fits = isinstance(longest, int | float) and 0 < longest < positions
    return {
        **usual,
        **before,
        **_normalizer(tokenizer.get("normalizer")),
        "model_max_length": longest if fits else positions,
    }


def _normalizer(found: Any) -> dict[str, Any]:
    """What becomes of a text before it is split, in the names of BertTokenizer."""
    if isinstance(found, dict) and found.get("type") == "BertNormalizer":
        return {
            "do_lower_case": bool(found.get("lowercase", True)),
            "strip_accents": found.get("strip_accents"),
            "tokenize_chinese_chars": bool(found.get("handle_chinese_chars", True)),
        }
    return {"do_lower_case": '"Lowercase"' in json.dumps(found)}
