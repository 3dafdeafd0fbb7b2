"""Sentences with some words hidden in, how often a beam search finds the best words for them out.

For each width and order: in how many sentences no filling of all is likelier than the one that was
found, over the whole vocabulary, and in how many the words are those that stood there. Whether a
likelier filling exists is settled by going through all partial fillings that are likelier than the
one found: filling further masks only makes them less likely. Where those are too many it is left
open, and said so.

Usage: python -m benchmarks.joint [--model FOLDER] [--texts N] [--masks 2,3] [--most N]
"""

import argparse
import asyncio
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, get_args

import numpy as np

from benchmarks.batches import packed
from benchmarks.cloze import DEFAULT_MODEL
from benchmarks.texts import sentences
from server.inference.pipeline import Pipeline, Resources
from server.inference.runtime.packing import Item, MaskResult, MaskScores, results_as
from server.inference.runtime.session import Session, SessionOptions
from server.inference.scheduling.isolation import RunBatch
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.inference.tasks.joint_filling import FILL_JOINTLY, JointOptions, Order
from server.inference.tokenizer import Tokenizer
from server.settings import InferenceOptions, Limits

WIDTHS: Final = (1, 2, 5, 10, 20)
SEED: Final = 11
LOOKED_AT: Final = 300  # words for one mask; if more of them are likelier, it is left open
BATCH_TOKENS: Final = 512
SAME: Final = 1e-4  # difference of a log-probability that rounding may cause in int8


class Hidden(NamedTuple):
    """A sentence with words hidden."""

    text: str
    """With masks."""
    ids: tuple[int, ...]
    masks: tuple[int, ...]
    """Where they are among the ids."""
    words: tuple[int, ...]
    """What stood there."""


class Way(NamedTuple):
    """A way to search."""

    order: Order
    beams: int


class Tried(NamedTuple):
    """What came of one sentence."""

    found: dict[Way, float]
    """The log-probability of what each way found."""
    recovered: set[Way]
    """The ways that found what stood there."""
    best: dict[Order, float | None]
    """The log-probability of the best filling; None where it was left open."""
    alone: bool
    """Whether the best words by themselves are what stood there."""


def hidden(pipeline: Pipeline, masks: int, count: int) -> Iterator[Hidden]:
    """Hide so many words of each of the first sentences that have as many of one piece."""
    tokenizer, chance = pipeline.model.tokenizer, random.Random(SEED)  # noqa: S311 - repeatable
    spelled = tokenizer.spec.mask
    texts = [*sentences()]
    chance.shuffle(texts)
    for text in texts:
        words = text.split()
        whole = [n for n, word in enumerate(words) if is_piece(tokenizer, word)]
        if len(whole) < 2 * masks:
            continue
        chosen = sorted(chance.sample(whole, masks))
        shown = " ".join(spelled if n in chosen else word for n, word in enumerate(words))
        ids = tokenizer.pieces(shown, pipeline.manifest.max_tokens, truncate=False, param="").ids
        places = [n for n, token in enumerate(ids) if token == tokenizer.special.mask]
        stood = tuple([tokenizer.word(words[n])[0] for n in chosen])
        yield Hidden(shown, tuple(ids), tuple(places), stood)
        count -= 1
        if not count:
            return


def is_piece(tokenizer: Tokenizer, word: str) -> bool:
    """Whether a word is one of the vocabulary, with nothing around it."""
    return word.isalpha() and len(tokenizer.word(word)) == 1


def tried(pipeline: Pipeline, run: RunBatch, sentence: Hidden, most: int) -> Tried:
    """Search in every way, then settle what the best is in each order."""
    found, recovered = dict[Way, float](), set[Way]()
    for order in get_args(Order):
        for beams in WIDTHS:
            options = JointOptions(top_k=1, num_beams=beams, order=order)
            ((best,),) = asyncio.run(pipeline.run(FILL_JOINTLY, [sentence.text], options)).value
            found[Way(order, beams)] = best.log_probability
            if best.tokens == sentence.words:
                recovered.add(Way(order, beams))
    usual = FillMaskOptions(top_k=1)
    (masks,) = asyncio.run(pipeline.run(FILL_MASK, [sentence.text], usual)).value
    search = Search(run, pipeline.model.tokenizer, most)
    settled = {
        order: search.likeliest(sentence, order, max(found[Way(order, n)] for n in WIDTHS))
        for order in get_args(Order)
    }
    alone = tuple([mask[0].token for mask in masks]) == sentence.words
    return Tried(found, recovered, settled, alone)


class _Partial(NamedTuple):
    log_probability: float
    ids: tuple[int, ...]
    left: tuple[int, ...]
    """Places of masks."""

    def with_word(self, number: int, word: int, log_probability: float) -> "_Partial":
        """The same with one of the masks that are left filled."""
        place = self.left[number]
        ids = (*self.ids[:place], word, *self.ids[place + 1 :])
        return _Partial(log_probability, ids, (*self.left[:number], *self.left[number + 1 :]))


class Search(NamedTuple):
    """Through all that is likelier than what is known."""

    run: RunBatch
    tokenizer: Tokenizer
    most: int
    """Partial fillings."""

    def likeliest(self, sentence: Hidden, order: Order, known: float) -> float | None:
        """The log-probability of the best filling, where one's is known; None if left open."""
        partial, contexts = [_Partial(0.0, sentence.ids, sentence.masks)], 0
        for _ in sentence.masks:
            contexts += len(partial)
            if contexts > self.most:
                return None
            further = []
            for one, result in zip(partial, self._read(partial, order), strict=True):
                row = int(result.log_probabilities[:, 0].argmax())
                logs = one.log_probability + result.log_probabilities[row].astype(np.float64)
                likelier = int((logs > known + SAME).sum())
                if likelier == len(logs) < self.tokenizer.vocab_size:
                    return None
                words = result.ids[row, :likelier].tolist()
                likely = zip(words, logs[:likelier].tolist(), strict=True)
                further += [one.with_word(row, *found) for found in likely]
            partial = further
        return max([one.log_probability for one in partial], default=known)

    def _read(self, partial: Sequence[_Partial], order: Order) -> list[MaskResult]:
        """The likeliest words of the masks that may be next, in batches as a server runs them."""
        items, words = [], min(LOOKED_AT, self.tokenizer.vocab_size)
        for one in partial:
            places = one.left if order == "confidence" else one.left[:1]
            rows = tuple([place + 1 for place in places])
            items.append(Item(self.tokenizer.assemble(one.ids), MaskScores(rows, words)))
        batches = packed(items, BATCH_TOKENS, lambda item: len(item.encoding))
        return [result for batch in batches for result in results_as(MaskResult, self.run(batch))]


def report(masks: int, outcomes: Sequence[Tried]) -> Iterator[str]:
    """Write a row for each way."""
    for order in get_args(Order):
        settled = [one for one in outcomes if one.best[order] is not None]
        for beams in WIDTHS:
            way = Way(order, beams)
            best = sum([one.found[way] >= (one.best[order] or 0.0) - SAME for one in settled])
            stood = sum([way in one.recovered for one in outcomes])
            yield (
                f"| {masks} | {order} | {beams} | {best} of {len(settled)} "
                f"| {stood} of {len(outcomes)} |"
            )
    alone = sum([one.alone for one in outcomes])
    yield f"| {masks} | each mask by itself | | | {alone} of {len(outcomes)} |"


def main() -> None:
    """Search, settle, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.joint")
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--texts", type=int, default=50, help="sentences for each number of masks")
    parser.add_argument("--masks", default="2,3", help="numbers of masks, separated by commas")
    parser.add_argument(
        "--most", type=int, default=1000, help="partial fillings to go through for one sentence"
    )
    options = parser.parse_args()
    pipeline = Pipeline(options.model, Resources(InferenceOptions(), Limits()))
    session = Session(options.model, pipeline.manifest, SessionOptions())
    pipeline.start()
    print("| masks | order | num_beams | finds the best | finds what stood there |")
    print("|---|---|---|---|---|")
    for masks in map(int, options.masks.split(",")):
        outcomes = [
            tried(pipeline, session.run, sentence, options.most)
            for sentence in hidden(pipeline, masks, options.texts)
        ]
        print(*report(masks, outcomes), sep="\n", flush=True)
    pipeline.close()


if __name__ == "__main__":
    main()
