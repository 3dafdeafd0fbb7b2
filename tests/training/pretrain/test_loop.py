"""The batches of a run: which are longer, that none is lost, and what a resumed run reads."""

from itertools import islice
from pathlib import Path

import numpy as np

from training.corpus import Corpus
from training.pretrain.loop import RunBatches
from training.pretrain.recipe import Recipe

STEPS = 20


def run_batches(corpus: Path, *, long_part: float = 0.2, accumulate: int = 1) -> RunBatches:
    recipe = Recipe(
        tokens=STEPS * 256 * accumulate, batch_tokens=256, accumulate=accumulate,
        sequence_tokens=32, short=0.0, long_tokens=64, long_part=long_part,
    )  # fmt: skip
    return RunBatches(Corpus.open(corpus, "train"), recipe)


def test_a_share_of_the_steps_is_longer(corpus_folder: Path) -> None:
    batches = run_batches(corpus_folder)
    assert [n for n in range(STEPS) if batches.batch(n).pairs.ids.shape[1] > 32] == [4, 9, 14, 19]


def test_neither_kind_leaves_out_a_batch(corpus_folder: Path) -> None:
    """Each kind of step goes through the batches of its own length, one after the other."""
    mixed = run_batches(corpus_folder)
    shorter = map(run_batches(corpus_folder, long_part=0.0).batch, range(STEPS))
    longer = map(run_batches(corpus_folder, long_part=1.0).batch, range(STEPS))
    for number in range(STEPS):
        batch = mixed.batch(number).pairs
        expected = next(longer if batch.ids.shape[1] > 32 else shorter).pairs
        np.testing.assert_array_equal(batch.ids, expected.ids)


def test_micro_batches_of_a_step_have_one_length(corpus_folder: Path) -> None:
    batches = run_batches(corpus_folder, accumulate=4)
    for step in range(STEPS):
        widths = [batches.batch(4 * step + place).pairs.ids.shape[1] > 32 for place in range(4)]
        assert widths == [step % 5 == 4] * 4


def test_resumed_run_reads_on_with_the_batches_that_are_left(corpus_folder: Path) -> None:
    batches = run_batches(corpus_folder, accumulate=4)
    whole = list(islice(batches.from_step(0), 24))
    for was, now in zip(whole[3 * 4 :], batches.from_step(3), strict=False):
        np.testing.assert_array_equal(was.pairs.ids, now.pairs.ids)
