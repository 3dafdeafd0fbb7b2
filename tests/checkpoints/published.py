"""A tokenizer as transformers 5 saves it in, the files that its checkpoint is published with out.

Most checkpoints on the hub are older: their tokenizer.json is version 4's, or they have only the
files that their authors' own programs read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from models.manifest import TOKENIZER_FILE
from tests.checkpoints.row import ALONE, MERGES, SAVED, VERSION_4, VOCABULARY, Tokenizing

CONFIG: Final = "tokenizer_config.json"
_METASPACE: Final = {
    "type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True,
    "prepend_scheme": "always",
}  # fmt: skip
_BETWEEN_BLANKS: Final = {
    "type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, _METASPACE],
}  # fmt: skip
_BLANK_RUNS: Final = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
_QUOTES: Final = [
    {"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")
]
_LOWER: Final = [{"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]
# What version 4's conversions wrote before SentencePiece's table, and as a pre-tokenizer.
_VERSION_4: Final[dict[str, tuple[list[Any], dict[str, Any]]]] = {
    "XLMRobertaTokenizer": ([], _BETWEEN_BLANKS),
    "CamembertTokenizer": ([], _BETWEEN_BLANKS),
    "AlbertTokenizer": ([*_QUOTES, *_LOWER], _BETWEEN_BLANKS),
    "DebertaV2Tokenizer": (
        [{"type": "Strip", "strip_left": True, "strip_right": True}],
        _METASPACE,
    ),
}
_SPECIAL_TOKENS: Final = "special_tokens_map.json"


def publish(made: Tokenizing, folder: Path, table: str) -> None:
    """Bring the files of `folder` into the form that `made` names.

    `table` is SentencePiece's, as tokenizer.json holds it.
    """
    if made.files == SAVED:
        return
    if made.files == VERSION_4:
        _rewrite(folder, made.saved_as, table)
        return
    model = json.loads((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))["model"]
    (folder / TOKENIZER_FILE).unlink()
    options = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    options.pop("backend", None)
    (folder / CONFIG).write_text(json.dumps(options), encoding="utf-8")
    if made.files == MERGES:
        merges = "".join(f"{one} {other}\n" for one, other in model["merges"])
        (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]), encoding="utf-8")
        (folder / CONFIG).unlink()
        named = {n: _spelling(token) for n, token in options.items() if n.endswith("_token")}
        (folder / _SPECIAL_TOKENS).write_text(json.dumps(named), encoding="utf-8")
    elif made.files in {VOCABULARY, ALONE}:
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
        if made.files == ALONE:
            (folder / CONFIG).unlink()
    else:
        (folder / made.files).write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")


def _spelling(token: str | dict[str, Any]) -> str:
    """Without flags, as older files have it."""
    return token if isinstance(token, str) else str(token["content"])


def _rewrite(folder: Path, saved_as: str, table: str) -> None:
    path = folder / TOKENIZER_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    before, words = _VERSION_4[saved_as]
    precompiled = {"type": "Precompiled", "precompiled_charsmap": table}
    chain = [*before, precompiled, _BLANK_RUNS]
    document |= {
        "normalizer": {"type": "Sequence", "normalizers": chain},
        "pre_tokenizer": words,
        "decoder": _METASPACE,
    }
    path.write_text(json.dumps(document), encoding="utf-8")
