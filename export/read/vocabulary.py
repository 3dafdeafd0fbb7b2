"""Files that list a vocabulary in, its pieces by id out, and whether they keep capital letters.

Older checkpoints have these instead of a tokenizer.json: vocab.txt for word pieces, vocab.json and
merges.txt for byte-level BPE.
"""

from pathlib import Path

from export.errors import ExportError
from export.read.documents import Fields, read_text

VOCABULARY = "vocab.txt"
BPE_VOCABULARY, MERGES = "vocab.json", "merges.txt"
# Cased vocabularies have capitals in a fifth of their pieces and more; lower-cased ones in a few
# stray pieces of tens of thousands.
CASED_SHARE = 0.01


def read_vocabulary(path: Path) -> dict[str, int]:
    r"""Word piece -> id, of a file with one on each line. A piece on two lines keeps the later id.

    A blank line is the empty piece, which no text holds but which has its id.

    Raises:
        ExportError: the file cannot be read, or versions of transformers read it differently.
    """
    # Not splitlines(): vocabularies of many languages hold U+2028 and its like as pieces.
    lines = read_text(path).removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        if line.strip() and line != line.rstrip():
            raise ExportError(
                f"Line {number} of {path.name} ends in white space, which one version of "
                "transformers takes for a part of the piece and another does not; remove it."
            )
    return {piece: index for index, piece in enumerate(lines)}


def read_byte_pairs(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Piece -> id, and the pairs of pieces to merge, in their order.

    Raises:
        ExportError: a file lacks, or is not what GPT-2's tokenizer wrote.
    """
    pieces = Fields.of(folder / BPE_VOCABULARY)
    ids = {piece: pieces.integer(piece, least=0) for piece in pieces.values}
    merges = []
    for number, line in enumerate(read_text(folder / MERGES).split("\n"), 1):
        if not line or line.startswith("#version"):
            continue
        pair = line.split(" ")
        if len(pair) != 2:
            raise ExportError(f"Line {number} of {MERGES} is not two pieces with a blank between.")
        merges.append((pair[0], pair[1]))
    return ids, merges


def capitals(vocabulary: dict[str, int]) -> tuple[int, int]:
    """How many pieces have a capital letter, and how many have letters that could be one.

    Pieces in brackets, such as [CLS] and <S>, do not count.

    >>> capitals({"[CLS]": 0, "<S>": 1, "paris": 2, "Rome": 3, "7": 4})
    (1, 2)
    """
    words = [piece for piece in vocabulary if not (piece[:1] in "[<" and piece[-1:] in "]>")]
    lettered = [piece for piece in words if piece.lower() != piece.upper()]
    return sum(piece != piece.lower() for piece in lettered), len(lettered)


def looks_cased(vocabulary: dict[str, int]) -> bool:
    """Whether a vocabulary keeps capital letters, by the share of pieces that have one.

    >>> looks_cased({"[CLS]": 0, "<T>": 1, "paris": 2}), looks_cased({"[CLS]": 0, "Paris": 1})
    (False, True)
    """
    cased, lettered = capitals(vocabulary)
    return cased > CASED_SHARE * lettered
