"""A recipe and the number of a micro-batch in, its pairs and sentences out.

Every batch is a pure function of its number, so that a resumed run, or one of several processes,
sees what an uninterrupted one would.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from training.batches import PairBatches, SentenceBatches
from training.masking import Padded, PairBatch
from training.pretrain.recipe import Recipe
from training.stored_corpus import Corpus


@dataclass(frozen=True)
class MicroBatch:
    """What one process computes before it adds up gradients."""

    pairs: PairBatch
    sentences: Padded | None


class RunBatches:
    """The batches of a run, of usual length and, if the recipe says so, longer in some steps."""

    def __init__(self, corpus: Corpus, recipe: Recipe, processes: int) -> None:
        self._recipe = recipe
        self._per_step = recipe.accumulate * processes
        self._usual = _pairs(corpus, recipe, recipe.sequence_tokens)
        self._longer = _pairs(corpus, recipe, recipe.long_tokens or recipe.sequence_tokens)
        self._sentences = (
            SentenceBatches(corpus, sentences=recipe.sentences, seed=recipe.seed)
            if recipe.distillation
            else None
        )

    def batch(self, number: int) -> MicroBatch:
        """Micro-batch `number`, counted over all steps and processes."""
        step, place = divmod(number, self._per_step)
        longer = self._recipe.longer_before(step)
        if self._recipe.longer_before(step + 1) > longer:
            pairs = self._longer.batch(longer * self._per_step + place)
        else:
            pairs = self._usual.batch(number - longer * self._per_step)
        return MicroBatch(pairs, self._sentences.batch(number) if self._sentences else None)

    def of_process(self, rank: int, processes: int, first_step: int) -> Iterator[MicroBatch]:
        """The batches of one process from `first_step` on, each made while another is used."""
        number = first_step * self._per_step + rank
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as maker:
            following = maker.submit(self.batch, number)
            while True:
                batch = following.result()
                number += processes
                following = maker.submit(self.batch, number)
                yield batch


def _pairs(corpus: Corpus, recipe: Recipe, sequence_tokens: int) -> PairBatches:
    return PairBatches(
        corpus,
        sequence_tokens=sequence_tokens,
        batch_tokens=recipe.batch_tokens,
        short=recipe.short,
        single=recipe.single,
        alone=recipe.alone,
        unmasked=recipe.unmasked,
        seed=recipe.seed,
    )
