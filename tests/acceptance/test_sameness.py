"""Row 20: the same text gets the same answer, whatever it is batched with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from server.inference.runtime.packing import Item, MaskResult, MaskScores, Result, SentenceVector
from server.inference.runtime.session import Session
from tests.acceptance.conftest import Reached
from tests.server.inference.conftest import load_session
from tests.server.inference.runtime.test_session import difference
from tests.server.inference.samples import MASK, encoding, random_item

BATCHES = 100
PROBES = 12
OUTLIER = 60  # tokens, of one repeated word
VOCABULARY = 30_000


def probes(*, masked: bool) -> list[Item]:
    """Texts of 4 to 15 tokens, of which a vector or the best five words are read."""
    rng = np.random.default_rng(20)
    found = []
    for length in range(4, 4 + PROBES):
        tokens = encoding(rng, length)
        tokens.ids[2] = MASK
        found.append(Item(tokens, MaskScores((2,), 5) if masked else SentenceVector("mean")))
    return found


def in_company(session: Session, items: list[Item], *, heads: bool) -> Iterator[tuple[int, Result]]:
    """The results of items in random batches, each with a text as extreme as texts get."""
    rng = np.random.default_rng(21)
    for _ in range(BATCHES):
        outlier = encoding(rng, OUTLIER)
        outlier.ids[1:-1] = rng.integers(VOCABULARY)
        others = [Item(outlier, SentenceVector("mean"))]
        others += [random_item(rng, heads=heads) for _ in range(rng.integers(4))]
        chosen = rng.choice(len(items), 3, replace=False).tolist()
        batch = [(-1, item) for item in others] + [(number, items[number]) for number in chosen]
        order = rng.permutation(len(batch)).tolist()
        results = session.run([batch[at][1] for at in order])
        for at, result in zip(order, results, strict=True):
            if batch[at][0] >= 0:
                yield batch[at][0], result


def test_20_in_float32(minilm_model: Path, reached: Reached) -> None:
    """Same text alone, and in 100 random batches with outliers: largest difference ≤ 1e-5 fp32."""
    session = load_session(minilm_model)
    items = probes(masked=False)
    alone = [session.run([item])[0] for item in items]
    found = list(in_company(session, items, heads=False))
    worst = max(difference(result, alone[number]) for number, result in found)
    reached(
        f"largest difference {worst:.0e} of {len(found)} answers in {BATCHES} batches",
        worst <= 1e-5,
        len(found) == 3 * BATCHES,
        difference(alone[0], alone[1]) > 1e-3,
    )


def test_20_in_int8(default_model: Path, reached: Reached) -> None:
    """int8: identical ranking of the top 5 and cosine ≥ 0.9999 between runs."""
    session = load_session(default_model)
    cosines, differences, ranked = [], [], 0
    for masked in (False, True):
        items = probes(masked=masked)
        alone = [session.run([item])[0] for item in items]
        for number, result in in_company(session, items, heads=True):
            before = alone[number]
            if isinstance(result, MaskResult) and isinstance(before, MaskResult):
                ranked += result.ids.tolist() == before.ids.tolist()
            elif isinstance(result, np.ndarray) and isinstance(before, np.ndarray):
                product = float(np.dot(result, before))
                cosines.append(product / float(np.linalg.norm(result) * np.linalg.norm(before)))
            differences.append(difference(result, before))
    reached(
        f"top 5 identical {ranked} of {3 * BATCHES} times, least cosine {min(cosines):.6f}, "
        f"largest difference {max(differences):.0e}",
        ranked == 3 * BATCHES,
        len(cosines) == 3 * BATCHES,
        min(cosines) >= 0.9999,
    )
