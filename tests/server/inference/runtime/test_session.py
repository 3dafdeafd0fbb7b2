"""Sameness: the answer to a text does not depend on what it is batched with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.heads import NSP, QA, SEQUENCE, TOKEN
from models.manifest import load_manifest
from server.inference.runtime.packing import (
    Item,
    MaskResult,
    MaskScores,
    OutputSpec,
    PooledLogits,
    Result,
    SentenceVector,
    TokenLogits,
    WordResult,
)
from server.inference.runtime.session import Session, SessionOptions
from tests.fine_tuned import LONGEST as LONGEST_CLASSIFIED
from tests.fine_tuned import VOCABULARY as WORDS_CLASSIFIED
from tests.server.inference.conftest import load_session
from tests.server.inference.samples import LONGEST, encoding, pooled, random_item

SAMENESS = 1e-5  # largest difference of any number of an answer, alone against in company
# In float16 2e-7 was measured; sums of another order may fall to the other side of a rounding.
HALF_SAMENESS = 0.01
BATCHES = 100
PROBES = 24
PROBES_PER_BATCH = 3
MOST_NEIGHBOURS = 10


def numbers(result: Result) -> NDArray[np.float32]:
    """All numbers of a result, as float32 (n,)."""
    if isinstance(result, MaskResult):
        parts = (result.log_probabilities.ravel(), result.target_log_probabilities)
        return np.concatenate(parts)
    if isinstance(result, WordResult):
        return result.weights
    assert isinstance(result, np.ndarray)
    return result


def difference(one: Result, other: Result) -> float:
    """The largest between two results of the same item; infinite when other words are named."""
    a, b = numbers(one), numbers(other)
    if isinstance(one, MaskResult) and isinstance(other, MaskResult):
        # Words may swap places only where they are equally probable.
        swapped = one.ids != other.ids
        gaps = np.abs(one.log_probabilities - other.log_probabilities)
        if (gaps[swapped] > SAMENESS).any():
            return float("inf")
    assert a.shape == b.shape
    return float(np.abs(a - b).max())


def worst_difference(
    session: Session,
    seed: int,
    *,
    heads: bool,
    batches: int = BATCHES,
    lone: Session | None = None,
) -> float:
    """The largest difference of probes alone, in `lone` if it is given, and in random batches."""
    rng = np.random.default_rng(seed)
    probes = [random_item(rng, heads=heads) for _ in range(PROBES - 1)]
    probes.append(Item(encoding(rng, LONGEST), SentenceVector("mean")))
    alone = [(lone or session).run([probe])[0] for probe in probes]
    worst = 0.0
    for _ in range(batches):
        neighbours = rng.integers(0, MOST_NEIGHBOURS + 1)
        batch = [(-1, random_item(rng, heads=heads)) for _ in range(neighbours)]
        chosen = rng.choice(PROBES, PROBES_PER_BATCH, replace=False).tolist()
        batch += [(number, probes[number]) for number in chosen]
        order = rng.permutation(len(batch)).tolist()
        results = session.run([batch[place][1] for place in order])
        for place, result in zip(order, results, strict=True):
            number = batch[place][0]
            if number >= 0:
                worst = max(worst, difference(result, alone[number]))
    return worst


def test_a_text_gets_the_same_answer_in_any_company_in_float32(minilm_session: Session) -> None:
    assert worst_difference(minilm_session, 0, heads=False) <= SAMENESS


def test_a_text_gets_the_same_answer_in_any_company_in_int8(cloze_session: Session) -> None:
    assert worst_difference(cloze_session, 1, heads=True) <= SAMENESS


def test_a_classified_text_gets_the_same_answer_in_any_company(classifiers: Path) -> None:
    rng = np.random.default_rng(5)
    models: dict[str, list[OutputSpec]] = {
        "reviews": [
            PooledLogits(SEQUENCE),
            PooledLogits(NSP),
            MaskScores((1,), 3),
            SentenceVector("mean"),
            SentenceVector("max"),
        ],
        "names": [TokenLogits(TOKEN, np.array([1, 2])), TokenLogits(TOKEN, np.array([0]))],
        "answers": [TokenLogits(QA, np.array([0, 2])), SentenceVector("cls", -2)],
    }
    for name, outputs in models.items():
        folder = classifiers / "models" / name
        session = Session(folder, load_manifest(folder), SessionOptions())
        session.warm(outputs, 512)
        items = []
        for length in rng.integers(3, LONGEST_CLASSIFIED, 30).tolist():
            tokens = encoding(rng, length, pair=length % 3 == 0)
            tokens.ids[:] %= len(WORDS_CLASSIFIED)
            items.append(Item(tokens, outputs[length % len(outputs)]))
        alone = [session.run([item])[0] for item in items]
        together = session.run(items)
        assert max(map(difference, together, alone)) <= SAMENESS
        assert difference(alone[0], -np.asarray(numbers(alone[0]))) > SAMENESS


def test_the_number_of_threads_does_not_change_an_answer_in_company(default_model: Path) -> None:
    session = Session(default_model, load_manifest(default_model), SessionOptions(intra_op=2))
    assert worst_difference(session, 2, heads=True, batches=30) <= SAMENESS


def test_a_text_that_had_all_cores_to_itself_got_the_answer_that_it_gets_in_company(
    cloze_session: Session, default_model: Path, minilm_session: Session, minilm_model: Path
) -> None:
    for session, folder, heads in (
        (cloze_session, default_model, True),
        (minilm_session, minilm_model, False),
    ):
        lone = load_session(folder, intra_op=2)
        assert worst_difference(session, 6, heads=heads, batches=30, lone=lone) <= SAMENESS


def test_float16_gives_the_same_answer_in_company(minilm_half_model: Path) -> None:
    session = load_session(minilm_half_model)
    assert worst_difference(session, 4, heads=False, batches=20) <= HALF_SAMENESS


def test_an_outlier_beside_it_does_not_change_a_short_text(cloze_session: Session) -> None:
    rng = np.random.default_rng(3)
    short = Item(encoding(rng, 3), SentenceVector("mean"))
    alone = cloze_session.run([short])[0]
    for token in range(0, 30522, 1500):  # texts of one repeated token are as extreme as texts get
        outlier = encoding(rng, LONGEST)
        outlier.ids[1:-1] = token
        beside = cloze_session.run([Item(outlier, PooledLogits(NSP)), short])[1]
        assert difference(beside, alone) <= SAMENESS


def test_results_come_in_the_order_of_the_items(minilm_session: Session) -> None:
    items = [pooled(length, mode) for length, mode in ((3, "max"), (9, "mean"), (5, "cls"))]
    alone = [minilm_session.run([item])[0] for item in items]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        results = minilm_session.run([items[place] for place in order])
        for place, result in zip(order, results, strict=True):
            assert difference(result, alone[place]) <= SAMENESS
    assert difference(alone[0], alone[1]) > 100 * SAMENESS


def test_probabilities_of_the_vocabulary_sum_to_one(cloze_session: Session) -> None:
    tokens = encoding(np.random.default_rng(4), 13)
    tokens.ids[[3, 7]] = 103
    output = MaskScores((3, 7), 30522, ((1, 2003),))
    (result,) = cloze_session.run([Item(tokens, output)])
    assert isinstance(result, MaskResult)
    assert result.ids.shape == (2, 30522)
    np.testing.assert_allclose(np.exp(result.log_probabilities).sum(axis=1), 1, atol=1e-4)
    assert (np.diff(result.log_probabilities, axis=1) <= 0).all()
    place = result.ids[1].tolist().index(2003)
    assert abs(result.log_probabilities[1, place] - result.target_log_probabilities[0]) <= SAMENESS


def test_several_threads_run_one_session_at_once(minilm_session: Session) -> None:
    items = [pooled(length) for length in range(3, 35)]
    alone = [minilm_session.run([item])[0] for item in items]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda item: minilm_session.run([item, items[0]])[0], items))
    worst = max(difference(one, two) for one, two in zip(results, alone, strict=True))
    assert worst <= SAMENESS


def test_warming_runs_outputs_of_every_kind_with_any_number_of_tokens(
    minilm_session: Session, cloze_session: Session
) -> None:
    minilm_session.warm([SentenceVector("mean")], 512)
    every: list[OutputSpec] = [SentenceVector("mean"), MaskScores((1,), 5), PooledLogits(NSP)]
    for tokens in (512, 7, 1):  # never so few that a mask has no place
        cloze_session.warm(every, tokens)
    cloze_session.warm(every[:1], 10**6)  # nor more than the model reads
