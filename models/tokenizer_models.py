"""The model of a tokenizer.json in, its checked and complete fields out: how words become pieces.

Three kinds: word pieces (BERT), Unigram (SentencePiece) and byte-level BPE (GPT-2). Each is bounded
by the size of its file, the length of a piece and that of a word.
"""

from math import isfinite
from typing import Final

from models.fields import Fields
from models.manifest import ManifestError
from models.tokenizer_components import Component

MAX_PIECE_CHARS: Final = 256
# The word-piece search is quadratic in the length of a word.
MAX_WORD_CHARS: Final = 1_000
WORD_CHARS: Final = 100  # BERT's own bound: a longer word is [UNK]
WORD_PIECE, UNIGRAM, BPE = "WordPiece", "Unigram", "BPE"


def word_piece(vocabulary: dict[str, int], unk: str, max_chars: int = WORD_CHARS) -> Component:
    """BERT's model: the longest pieces first."""
    return {
        "type": WORD_PIECE,
        "unk_token": unk,
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": max_chars,
        "vocab": vocabulary,
    }


def unigram(pieces: list[tuple[str, float]], unk: int) -> Component:
    """SentencePiece's model: the likeliest pieces, by their log-probabilities."""
    return {
        "type": UNIGRAM,
        "unk_id": unk,
        "vocab": [list(piece) for piece in pieces],
        "byte_fallback": False,
    }


def bpe(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Component:
    """GPT-2's model: pairs of pieces merged in their order."""
    return {
        "type": BPE,
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": [list(pair) for pair in merges],
    }


def read_model(value: object, file: str) -> Component:
    """The model of a tokenizer.json.

    Raises:
        ManifestError: it is of another kind, incomplete, or out of bounds.
    """
    fields = Fields.wrap(value, f"model in {file}")
    kind = fields.text("type", _kind(fields))
    if kind == WORD_PIECE:
        return _word_piece(fields)
    if kind == UNIGRAM:
        return _unigram(fields)
    if kind == BPE:
        return _bpe(fields)
    raise ManifestError(
        f"The {fields.file} has type {kind[:20]}; Cloze reads {WORD_PIECE}, {UNIGRAM} or {BPE}."
    )


def ids_of(model: Component) -> dict[str, int]:
    """The id of every piece of a model, without added tokens."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        return vocabulary
    return {piece: index for index, (piece, _) in enumerate(vocabulary)}


def unk_of(model: Component) -> str | None:
    """What a model writes for what it cannot spell; None where it spells everything."""
    if model["type"] == UNIGRAM:
        return str(model["vocab"][model["unk_id"]][0])
    found: str | None = model["unk_token"]
    return found


def _kind(fields: Fields) -> str:
    """The first versions of the format did not name the type."""
    if "merges" in fields.values:
        return BPE
    return UNIGRAM if "unk_id" in fields.values else WORD_PIECE


def _word_piece(fields: Fields) -> Component:
    if (prefix := fields.text("continuing_subword_prefix", "##")) != "##":
        raise ManifestError(
            f"The {fields.file} has continuing_subword_prefix {prefix[:20]}; BERT's is ##."
        )
    longest = fields.integer("max_input_chars_per_word", WORD_CHARS)
    if longest > MAX_WORD_CHARS:
        raise ManifestError(f"The {fields.file} allows words of over {MAX_WORD_CHARS} characters.")
    return word_piece(_vocabulary(fields), fields.text("unk_token", "[UNK]"), longest)


def _bpe(fields: Fields) -> Component:
    for name, harmless in (
        ("dropout", (None,)),
        ("continuing_subword_prefix", (None, "")),
        ("end_of_word_suffix", (None, "")),
        ("byte_fallback", (None, False)),
    ):
        if fields.values.get(name) not in harmless:
            raise ManifestError(f"The {fields.file} has a {name}, which byte-level BPE has not.")
    unk = fields.values.get("unk_token")
    model = bpe(_vocabulary(fields), _merges(fields)) | {
        "unk_token": None if unk is None else fields.text("unk_token"),
        "fuse_unk": fields.flag("fuse_unk", default=False),
        "ignore_merges": fields.flag("ignore_merges", default=False),
    }
    # null and "" mean the same to the library, which keeps them apart.
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        model[name] = fields.values.get(name)
    return model


def _merges(fields: Fields) -> list[tuple[str, str]]:
    """Pairs of pieces; older files write each as one text with a blank between."""
    merges = fields.values.get("merges")
    if not isinstance(merges, list):
        raise ManifestError(f"The {fields.file} lacks a list of merges.")
    pairs = []
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(_is_piece, pair))):
            raise ManifestError(f"The {fields.file} has a merge that is no pair of pieces.")
        pairs.append((pair[0], pair[1]))
    return pairs


def _unigram(fields: Fields) -> Component:
    if fields.flag("byte_fallback", default=False):
        raise ManifestError(f"The {fields.file} falls back to bytes, which Cloze does not accept.")
    listed = fields.values.get("vocab")
    pieces: dict[str, float] = {}
    for entry in listed if isinstance(listed, list) else ():
        if not (isinstance(entry, list) and len(entry) == 2 and _is_scored(*entry)):
            raise ManifestError(
                f"The {fields.file} has a piece that is not 1 to {MAX_PIECE_CHARS} characters with "
                "a finite number."
            )
        pieces[entry[0]] = float(entry[1])
    if not isinstance(listed, list) or not pieces or len(pieces) < len(listed):
        raise ManifestError(f"The {fields.file} has no pieces, or one of them twice.")
    unk = fields.integer("unk_id", least=0)
    if unk >= len(pieces):
        raise ManifestError(f"The {fields.file} has no piece of the number that unk_id says.")
    return unigram(list(pieces.items()), unk)


def _is_scored(piece: object, score: object) -> bool:
    if not _is_piece(piece) or isinstance(score, bool):
        return False
    return isinstance(score, int | float) and isfinite(score)


def _is_piece(piece: object) -> bool:
    return isinstance(piece, str) and 0 < len(piece) <= MAX_PIECE_CHARS


def _vocabulary(model: Fields) -> dict[str, int]:
    pieces = Fields.wrap(model.values.get("vocab"), f"vocab of the {model.file}")
    ids = pieces.values.values()
    if max(map(len, pieces.values), default=0) > MAX_PIECE_CHARS:
        raise ManifestError(f"The {model.file} has a piece of over {MAX_PIECE_CHARS} characters.")
    if set(map(type, ids)) != {int} or min(ids) < 0:  # of millions this is quickly said
        for piece in pieces.values:
            pieces.integer(piece, least=0)
    if not pieces.values or len(set(ids)) != len(pieces.values):
        raise ManifestError(f"The {model.file} has no word pieces, or two with the same id.")
    return pieces.values
