"""Pairs of sentences that people rated in, how well the model's sentence vectors agree out.

The semantic textual similarity benchmark (Cer et al. 2017): Spearman's correlation between the
cosine of two mean-pooled vectors and the rating, as in Reimers & Gurevych 2019, section 4.1.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training import objectives
from training.errors import TrainingError
from training.evaluate.figures import Figure, rank_correlation
from training.evaluate.inference import Ids, evaluating, length_batches, progress
from training.masking import pad
from training.model import BertModel
from training.objectives import SentenceTensors


@dataclass(frozen=True, eq=False)
class RatedPairs:
    """Pairs of sentences with people's ratings."""

    first: tuple[str, ...]
    second: tuple[str, ...]
    ratings: NDArray[np.float64]  # (pairs,), 5 for the same meaning, 0 for nothing in common


def read_rated_pairs(path: Path) -> RatedPairs:
    """Read a CSV file of rows `sentence,sentence,rating`; a header row is passed over.

    Raises `TrainingError`, with the line but never the text, for a row that is not like that.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path} cannot be read as CSV ({type(error).__name__}).") from None
    if rows and len(rows[0][1]) == 3 and _rating(rows[0][1][2]) is None:
        rows = rows[1:]
    ratings = []
    for line, row in rows:
        rating = _rating(row[2]) if len(row) == 3 else None
        if rating is None:
            raise TrainingError(
                f"{path}, line {line}: expected two sentences and a number, separated by commas."
            )
        ratings.append(rating)
    texts = [row for _, row in rows]
    return RatedPairs(
        tuple(row[0] for row in texts), tuple(row[1] for row in texts), np.array(ratings)
    )


def measure_similarity(encoder: BertModel, tokenizer: Tokenizer, pairs: RatedPairs) -> list[Figure]:
    """Spearman's correlation of cosines and ratings."""
    vectors = sentence_vectors(encoder, tokenizer, [*pairs.first, *pairs.second])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    first, second = np.split(unit, 2)
    found = rank_correlation((first * second).sum(axis=1), pairs.ratings)
    name = "STS-B, Spearman's correlation"
    return [Figure("sts.spearman", name, found, "number", len(pairs.ratings), "pairs")]


def sentence_vectors(
    encoder: BertModel, tokenizer: Tokenizer, texts: list[str]
) -> NDArray[np.float32]:
    """Float32 (texts, hidden), mean-pooled over all tokens; overlong texts lose their end.

    `tokenizer` adds [CLS] and [SEP] and neither pads nor truncates.
    """
    longest = encoder.config.max_position_embeddings
    encodings = tokenizer.encode_batch(texts)
    sequences: list[Ids] = [np.array(_cut(encoding.ids, longest)) for encoding in encodings]
    vectors = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
    with evaluating(encoder):
        batches = length_batches(np.array([len(sequence) for sequence in sequences]))
        for members in progress(batches, "STS-B"):
            batch = pad([sequences[member] for member in members])
            there = SentenceTensors.of(batch, next(encoder.parameters()).device)
            vectors[members] = objectives.sentence_vectors(encoder, there).cpu().numpy()
    return vectors


def _cut(ids: list[int], longest: int) -> list[int]:
    """The first tokens and the last one, [SEP].

    >>> _cut([101, 7, 8, 9, 102], longest=4)
    [101, 7, 8, 102]
    """
    return ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]


def _rating(field: str) -> float | None:
    try:
        rating = float(field)
    except ValueError:
        return None
    return rating if np.isfinite(rating) else None
