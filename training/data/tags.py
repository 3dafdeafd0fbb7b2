"""Tags of entities in any of the usual schemes in, the same entities in IOB2 out.

IOB1 marks with B- only an entity that touches another of its kind (Ramshaw and Marcus 1995), IOB2
the first word of every one; IOBES and BILOU also mark the last word (E-, L-) and entities of one
word (S-, U-). A model learns IOB2, in which training and serving count.
"""

from collections.abc import Sequence

OUTSIDE = "O"
# The first letter of a tag -> IOB2's, and whether the entity ends with this word.
_LETTERS = {
    "B": ("B", False),
    "I": ("I", False),
    "M": ("I", False),  # BMES
    "E": ("I", True),
    "L": ("I", True),
    "S": ("B", True),
    "U": ("B", True),
}


def are_tags(labels: set[str]) -> bool:
    """Whether labels are tags of entities: a letter of a scheme, a hyphen and the kind, or O.

    >>> are_tags({"O", "S-LOC"}), are_tags({"I-A", "B-A"}), are_tags({"NOUN", "O"}), are_tags({"O"})
    (True, True, False, False)
    """
    kinds = labels - {OUTSIDE}
    marked = all(tag[1:2] == "-" and tag[:1] in _LETTERS and tag[2:] for tag in kinds)
    return bool(kinds) and marked and (OUTSIDE in labels or any(tag[0] in "BI" for tag in kinds))


def scheme_of(sentences: Sequence[Sequence[str]]) -> str:
    """The scheme of the tags of all sentences together.

    >>> scheme_of([["I-A", "O"]]), scheme_of([["B-A", "I-A"]]), scheme_of([["B-A", "L-A"]])
    ('IOB1', 'IOB2', 'BILOU')
    """
    letters = {tag[0] for sentence in sentences for tag in sentence if tag != OUTSIDE}
    if letters & {"L", "U"}:
        return "BILOU"
    if letters & {"E", "S", "M"}:
        return "IOBES"
    return "IOB2" if all(to_iob2(sentence) == tuple(sentence) for sentence in sentences) else "IOB1"


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags of one sentence.

    >>> to_iob2(["I-A", "I-A", "B-A", "O", "I-B"])
    ('B-A', 'I-A', 'B-A', 'O', 'B-B')
    >>> to_iob2(["S-A", "B-A", "E-A", "U-B"])
    ('B-A', 'B-A', 'I-A', 'B-B')
    """
    found: list[str] = []
    within = OUTSIDE  # the kind of the entity that may go on here
    for tag in tags:
        if tag == OUTSIDE:
            found.append(tag)
            within = OUTSIDE
            continue
        kind = tag[2:]
        letter, ends = _LETTERS[tag[0]]
        found.append(f"{letter if kind == within else 'B'}-{kind}")
        within = OUTSIDE if ends else kind
    return tuple(found)
