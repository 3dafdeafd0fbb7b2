"""Labels, numbers or answers that were found and those that are right in, measures out.

Shares from 0 to 1, and of numbers correlations and an error. Knows nothing of models. Every measure
is the one its field reports: macro F1 over classes, F1 of whole entities as in CoNLL 2003 (Tjong
Kim Sang and De Meulder 2003), exact match and F1 of answers as in SQuAD (Rajpurkar et al. 2016).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Entity = tuple[str, int, int]  # kind, first word, word after the last
OUTSIDE = "O"


def label_measures(right: Int64, found: Int64) -> dict[str, float]:
    """The share of int64 (n,) labels that agree, and the mean F1 of the classes in either array.

    >>> label_measures(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    {'accuracy': 0.75, 'macro_f1': 0.7333333333333334}
    """
    macro = f1_score(right, found, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(right, found)), "macro_f1": float(macro)}


def labels_measures(right: Int64, found: Int64) -> dict[str, float]:
    """F1 of int64 (n, labels) of 0 and 1, over all labels and by label, and the rows that agree.

    By label it is the mean over those that occur on either side.

    >>> labels_measures(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [1, 0]]))
    {'micro_f1': 0.8, 'macro_f1': 0.5, 'exact_match': 0.5}
    """
    agreed, ours, theirs = ((right & found).sum(axis=0), right.sum(axis=0), found.sum(axis=0))
    each = [
        f1(agreed=int(both), right=int(one), found=int(other))
        for both, one, other in zip(agreed, ours, theirs, strict=True)
        if one or other
    ]
    return {
        "micro_f1": f1(agreed=int(agreed.sum()), right=int(ours.sum()), found=int(theirs.sum())),
        "macro_f1": sum(each) / len(each) if each else 1.0,
        "exact_match": float((right == found).all(axis=1).mean()),
    }


def number_measures(right: Float64, found: Float64) -> dict[str, float]:
    """Correlation of float64 (n,) numbers, by rank and by value, and the usual error.

    A correlation is 0 where all numbers of one side are the same, which tells nothing of the other.

    >>> number_measures(np.array([1.0, 2.0, 4.0]), np.array([2.0, 3.0, 5.0]))
    {'spearman': 1.0, 'pearson': 1.0, 'rmse': 1.0}
    """
    constant = bool(np.ptp(right) == 0 or np.ptp(found) == 0)
    rank, value = (
        0.0 if constant else round(float(measure(right, found).statistic), 12)
        for measure in (spearmanr, pearsonr)
    )
    return {
        "spearman": rank,
        "pearson": value,
        "rmse": float(np.sqrt(((right - found) ** 2).mean())),
    }


def f1(*, agreed: int, right: int, found: int) -> float:
    """Harmonic mean of precision and recall; 1 where there was nothing to find and nothing found.

    >>> f1(agreed=1, right=1, found=3)
    0.5
    """
    return 2 * agreed / (right + found) if right + found else 1.0


def has_entities(labels: Sequence[str]) -> bool:
    """Whether labels are BIO tags.

    >>> has_entities(["B-PER", "I-PER", "O"]), has_entities(["NOUN", "O"])
    (True, False)
    """
    tags = [label for label in labels if label != OUTSIDE]
    return bool(tags) and all(tag[:2] in {"B-", "I-"} for tag in tags)


def entities(tags: Sequence[str]) -> set[Entity]:
    """The entities of a sentence in BIO tags; an I- of another kind begins one, as in CoNLL.

    >>> sorted(entities(["B-PER", "I-PER", "B-PER", "O", "I-LOC"]))
    [('LOC', 4, 5), ('PER', 0, 2), ('PER', 2, 3)]
    """
    found: set[Entity] = set()
    kind, start = OUTSIDE, 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        here = OUTSIDE if tag == OUTSIDE else tag[2:]
        if here == kind and not tag.startswith("B-"):
            continue
        if kind != OUTSIDE:
            found.add((kind, start, place))
        kind, start = here, place
    return found


def entity_measures(
    right: Sequence[Sequence[str]], found: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Precision, recall and F1 over the entities of all sentences together.

    >>> entity_measures([["B-A", "I-A", "B-B"]], [["B-A", "O", "B-B"]])
    {'entity_precision': 0.5, 'entity_recall': 0.5, 'entity_f1': 0.5}
    """
    pairs = [(entities(ours), entities(theirs)) for ours, theirs in zip(right, found, strict=True)]
    agreed = sum(len(ours & theirs) for ours, theirs in pairs)
    wanted, named = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return {
        "entity_precision": agreed / named if named else float(wanted == 0),
        "entity_recall": agreed / wanted if wanted else float(named == 0),
        "entity_f1": f1(agreed=agreed, right=wanted, found=named),
    }


def plain_answer(text: str) -> str:
    """An answer as SQuAD compares it: lower case, without punctuation, articles, extra spaces.

    >>> plain_answer("The  Eiffel-Tower, a tower!")
    'eiffeltower tower'
    """
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def answer_scores(right: Sequence[str], found: str, *, abstain: bool) -> tuple[float, float]:
    """Exact match and F1 of words, each with the right answer that it is best for.

    Where a question may have no answer (`abstain`) they are those of SQuAD's script 2.0, otherwise
    of its script 1.1. The two differ in answers of which nothing is left, such as "the": 2.0 leaves
    them out, and takes none for one of no words; 1.1 gives them an F1 of 0.

    >>> answer_scores(["the river Seine", "Paris"], "Seine.", abstain=False)
    (0.0, 0.6666666666666666)
    >>> answer_scores([], "Seine", abstain=True), answer_scores([], "", abstain=True)
    ((0.0, 0.0), (1.0, 1.0))
    """
    plain, said = [plain_answer(text) for text in right], plain_answer(found)
    if abstain:
        plain = [text for text in plain if text] or [""]
    return float(said in plain), max(_word_f1(text, said, abstain=abstain) for text in plain)


def _word_f1(right: str, found: str, *, abstain: bool) -> float:
    ours, theirs = Counter(right.split()), Counter(found.split())
    if not (ours or theirs):
        return float(abstain)
    return f1(agreed=(ours & theirs).total(), right=ours.total(), found=theirs.total())
