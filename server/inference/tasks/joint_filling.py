"""Texts with several masks in, the words that probably stood there together out.

What fill-mask answers for each mask leaves the other masks as they are, so the best words of two
masks need not go together. Here masks are filled one after the other, each where the words before
it already stand. The score of a filling is what the chain rule gives in the order of its filling,

    log P(words) = Σ_k log P(word_k | the text, words 1..k-1 at their masks, other masks left)

BERT answers another number for each order, so the order is part of what the score means. Next is

    left_to_right   the first mask that is left;
    confidence      the mask of whose best word the model is surest, the leftmost of equals.

Either way the words that stand decide which mask is next, so each filling is reached in one way,
and the probabilities of all fillings add up to 1.

Trying all words at all masks would take as many runs as there are fillings. A beam search goes on
with the few likeliest partial fillings at each step. So a request takes as many rounds as its text
has masks, of one copy of the text for each of them, and one copy in the first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple

import numpy as np

from models.heads import MLM
from server.errors import InvalidParameter, TooManyTokens
from server.inference.runtime.packing import Item, MaskResult, MaskScores, Results, results_as
from server.inference.tasks.masked_text import (
    CANDIDATE_BYTES,
    PIECE_BYTES,
    MaskedText,
    read_masked,
    require_few_masks,
)
from server.inference.tasks.pairs import TEXT_SPECIALS
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_each
from server.inference.tokenizer import Tokenizer

Order = Literal["left_to_right", "confidence"]

DEFAULT_TOP_K: Final = 5
DEFAULT_BEAMS: Final = 10
_RESULT_BYTES: Final = 12  # of one word that is looked at for a mask: its id and its logarithm


class JointFilling(NamedTuple):
    """Words for all masks of a text."""

    log_probability: float
    """Of all of them, in the order in which they were filled in."""
    tokens: tuple[int, ...]
    """Ids, in the order of the masks in the text."""
    token_strs: tuple[str, ...]
    sequence: str
    """The text with the words filled in."""
    order: tuple[int, ...]
    """Numbers of the masks, from 0, in the order in which they were filled."""


class JointOptions(NamedTuple):
    """What a request asks besides its texts."""

    top_k: int | None = None
    """Fillings of each text; None for 5, or as many as there are beams."""
    num_beams: int | None = None
    """Partial fillings that each step goes on with; None for 10, or for `top_k` if larger."""
    order: Order = "left_to_right"
    truncate: bool = False

    @property
    def shown(self) -> int:
        """Fillings of each text, as it was said or left out."""
        return self.top_k or min(DEFAULT_TOP_K, self.num_beams or DEFAULT_BEAMS)

    def width(self, model: ServedModel) -> "Width":
        """How broadly is searched."""
        beams = self.num_beams or min(max(DEFAULT_BEAMS, self.shown), model.limits.max_beams)
        return Width(beams, min(beams, model.tokenizer.vocab_size))


class Width(NamedTuple):
    """How broadly is searched."""

    beams: int
    """Most partial fillings that a step goes on with."""
    words: int
    """How many words are looked at for each of them: more could not be among the best."""

    def copies(self, masks: int) -> int:
        """Copies of a text that are computed in all rounds.

        >>> Width(10, 10).copies(1), Width(10, 10).copies(3), Width(10, 4).copies(3)
        (1, 21, 15)
        """
        copies, alive = 0, 1
        for _ in range(masks):
            copies += alive
            alive = min(self.beams, alive * self.words)
        return copies


class _Beam(NamedTuple):
    """A partial filling."""

    log_probability: float
    tokens: tuple[int, ...]
    """In the order in which they were filled in."""
    order: tuple[int, ...]
    """Numbers of their masks."""

    def open(self, masks: int) -> list[int]:
        """The masks that are left.

        >>> _Beam(-1.5, (7, 9), (3, 0)).open(4)
        [1, 2]
        """
        return [number for number in range(masks) if number not in self.order]


@dataclass(frozen=True)
class _Search:
    """One text and how far it is filled."""

    text: MaskedText
    beams: tuple[_Beam, ...]
    """The likeliest first, all of them as far."""

    @property
    def done(self) -> bool:
        """Whether no mask is left."""
        return len(self.beams[0].order) == len(self.text.masks)


JointlyFilled = list[list[JointFilling]]
"""Fillings of each text, the likeliest first."""


class FillMasksJointly(Task[str, JointOptions, JointlyFilled]):
    """The best fillings of all masks of each text together. Its route is fill-mask's."""

    name = "fill-mask"
    title = MLM.title
    head = MLM

    def check(self, inputs: Sequence[str], options: JointOptions, model: ServedModel) -> None:
        """Refuse options that no text could satisfy."""
        most = model.limits.max_beams
        if options.num_beams is not None and not 1 <= options.num_beams <= most:
            raise InvalidParameter(
                f"num_beams must be from 1 to {most}.", param="parameters.num_beams"
            )
        most = options.num_beams or most
        if options.top_k is not None and not 1 <= options.top_k <= most:
            raise InvalidParameter(
                f"top_k must be from 1 to {most} with joint: as many as there may be beams.",
                param="parameters.top_k",
            )

    def price(self, inputs: Sequence[str], options: JointOptions, model: ServedModel) -> Price:
        """A copy of the text in the first round, and one for each beam in every other."""
        width, mask = options.width(model), model.manifest.tokenizer.mask
        lengths = [len(text) for text in inputs]
        most = model.manifest.max_tokens
        tokens = size = 0
        for text in inputs:
            _, own, _ = Price.estimate([len(text)], most, 0)
            masks = max(1, text.count(mask))
            tokens += own * width.copies(masks)
            size += _answer_bytes(masks, len(text), options, width)
        return Price.estimate(lengths, most, size)._replace(tokens=tokens)

    def plan(
        self, inputs: Sequence[str], options: JointOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[JointlyFilled]:
        """The first round, which is followed by others; all texts go through them together."""
        width = options.width(model)
        read, price_of = partial(_read, options, width, model), partial(_price, options, width)
        texts, price = read_each(inputs, read, price_of, model, proceed)
        require_few_masks(texts, model.limits)
        searches = [_Search(text, (_Beam(0.0, (), ()),)) for text in texts]
        return _Rounds(options, width, model.tokenizer, price).plan(searches)


# --- what it takes ----------------------------------------------------------------------------


def _answer_bytes(masks: int, shown: int, options: JointOptions, width: Width) -> int:
    """Memory of one text's fillings, or of what is looked at for them, whichever is more.

    Of every filling all of the text is shown, of `shown` bytes, as str and as JSON.
    """
    rows = 1 if options.order == "left_to_right" else masks
    of_beam = rows * width.words * _RESULT_BYTES + CANDIDATE_BYTES + masks * PIECE_BYTES
    of_filling = CANDIDATE_BYTES + masks * PIECE_BYTES + 2 * shown
    return max(width.beams * of_beam, options.shown * of_filling)


def _tokens(text: MaskedText, width: Width) -> int:
    return width.copies(len(text.masks)) * (len(text.ids) + TEXT_SPECIALS)


def _price(options: JointOptions, width: Width, text: MaskedText) -> Price:
    size = _answer_bytes(len(text.masks), text.shown, options, width)
    return Price(0, _tokens(text, width), size)


def _read(
    options: JointOptions, width: Width, model: ServedModel, text: str, param: str
) -> MaskedText:
    """Tokenise and find the masks, if there are not too many of them for the search."""
    masked = read_masked(text, model, truncate=options.truncate, param=param)
    tokens, most = _tokens(masked, width), model.limits.max_request_tokens
    if tokens > most:
        masks, length = len(masked.masks), len(masked.ids) + TEXT_SPECIALS
        raise TooManyTokens(
            f"To fill {masks} masks jointly takes {width.copies(masks)} copies of {length} tokens, "
            f"{tokens} together, and {most} are allowed; lower num_beams, or leave fewer masks.",
            param=param,
        )
    return masked


# --- the search -------------------------------------------------------------------------------


class _Rounds(NamedTuple):
    """How a request's texts are filled, mask by mask."""

    options: JointOptions
    width: Width
    tokenizer: Tokenizer
    price: Price

    def plan(self, searches: Sequence[_Search]) -> Plan[JointlyFilled]:
        """The next round of the texts that are not done."""

        def items() -> list[Item]:
            open_ones = [one for one in searches if not one.done]
            return [self._item(one.text, beam) for one in open_ones for beam in one.beams]

        def answer(results: Results) -> JointlyFilled | Plan[JointlyFilled]:
            stream = iter(results_as(MaskResult, results))
            further = [one if one.done else self._further(one, stream) for one in searches]
            if all(one.done for one in further):
                return [self._fillings(one) for one in further]
            return self.plan(further)

        cut = tuple([one.text.truncated for one in searches])
        return Plan(self.price, items, answer, cut)

    def _item(self, text: MaskedText, beam: _Beam) -> Item:
        """The text with the beam's words, of which masks that may be next are read."""
        left = beam.open(len(text.masks))
        may_be_next = left[:1] if self.options.order == "left_to_right" else left
        rows = tuple([text.masks[number] + 1 for number in may_be_next])
        encoding = self.tokenizer.assemble(_with_words(text, beam))
        return Item(encoding, MaskScores(rows, self.width.words))

    def _further(self, search: _Search, results: Iterator[MaskResult]) -> _Search:
        """The search with a mask more filled in each of its beams."""
        chosen: list[tuple[int, MaskResult, int]] = []
        masks = len(search.text.masks)
        for beam in search.beams:
            result = next(results)
            # Of the rows that were read; the first where several are as sure.
            row = int(result.log_probabilities[:, 0].argmax())
            chosen.append((beam.open(masks)[row], result, row))
        logs = np.array(
            [
                beam.log_probability + result.log_probabilities[row].astype(np.float64)
                for beam, (_, result, row) in zip(search.beams, chosen, strict=True)
            ]
        )  # (beams, words)
        best = np.argsort(-logs, axis=None, kind="stable")[: self.width.beams]
        beams = []
        for number, word in zip(*np.unravel_index(best, logs.shape), strict=True):
            mask, result, row = chosen[number]
            before = search.beams[number]
            beams.append(
                _Beam(
                    float(logs[number, word]),
                    (*before.tokens, int(result.ids[row, word])),
                    (*before.order, mask),
                )
            )
        return _Search(search.text, tuple(beams))

    def _fillings(self, search: _Search) -> list[JointFilling]:
        """The best fillings of a text, each shown in it."""
        special, decode = self.tokenizer.special, self.tokenizer.decode
        found = []
        for beam in search.beams[: self.options.shown]:
            tokens = tuple([word for _, word in sorted(zip(beam.order, beam.tokens, strict=True))])
            ids = [special.cls, *_with_words(search.text, beam), special.sep]
            found.append(
                JointFilling(
                    log_probability=beam.log_probability,
                    tokens=tokens,
                    token_strs=tuple([decode([token]) for token in tokens]),
                    sequence=decode(ids, skip_special=True),
                    order=beam.order,
                )
            )
        return found


def _with_words(text: MaskedText, beam: _Beam) -> list[int]:
    """The ids of a text with a beam's words at their masks.

    >>> _with_words(MaskedText([5, 4, 6, 4], [1, 3], False, 9), _Beam(-1.5, (7,), (1,)))
    [5, 4, 6, 7]
    """
    ids = [*text.ids]
    for number, word in zip(beam.order, beam.tokens, strict=True):
        ids[text.masks[number]] = word
    return ids


FILL_JOINTLY: Final = FillMasksJointly()
