"""Texts with masks in, the words that probably stood there out.

A candidate of one word piece is scored by the masked language model directly. A target of n pieces
is scored as a whole word: the mask becomes n masks and the pieces are filled in from left to right,

    log P(word) = Σ_j log P(piece_j | pieces before it, masks after it)

n items per word, which share a batch since each one's context is known beforehand. The number of
pieces is given, not predicted, so a word of several pieces is compared on those terms.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, Self

import numpy as np

from models.heads import MLM
from server.errors import EmptyText, InvalidParameter, UnknownTarget
from server.inference.runtime.packing import Item, MaskResult, MaskScores, Results, results_as
from server.inference.tasks.masked_text import (
    CANDIDATE_BYTES,
    PIECE_BYTES,
    MaskedText,
    filled,
    mask_id,
    read_masked,
    require_few_masks,
)
from server.inference.tasks.pairs import TEXT_SPECIALS
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_each
from server.inference.tokenizer import Tokenizer, require_unicode

DEFAULT_TOP_K: Final = 5
_TARGETS: Final = "parameters.targets"

Word = tuple[int, ...]
"""The word pieces of one target."""


class Filling(NamedTuple):
    """One candidate for one mask."""

    score: float
    """Probability over the vocabulary, or over the targets when normalised."""
    token: int | None
    """Id of the token; None for a word of several pieces."""
    token_str: str
    sequence: str
    """The text with the candidate filled in."""
    pieces: Word
    scored_as: str
    """"token" or "whole_word"."""


class FillMaskOptions(NamedTuple):
    """What a fill-mask request asks besides its texts."""

    top_k: int | None = None
    """Candidates per mask; None for 5, or for all targets."""
    targets: Sequence[Sequence[str]] | None = None
    """Words to score: one list for all texts, or one per text."""
    normalize_targets: bool = False
    truncate: bool = False

    def of(self, index: int) -> int | None:
        """Which list of targets text number `index` has, None without any."""
        if self.targets is None:
            return None
        return index if len(self.targets) > 1 else 0


class _Text(NamedTuple):
    """One tokenised text and what it is to be filled with."""

    masked: MaskedText
    targets: Sequence[Word] = ()
    """As they were given; empty without any."""
    single: Sequence[Word] = ()
    """Its targets of one piece."""
    several: Sequence[Word] = ()
    """Its targets of several pieces."""

    @classmethod
    def of(cls, masked: MaskedText, targets: Sequence[Word]) -> Self:
        """With these targets, if there are any."""
        if not targets:
            return cls(masked)
        single = [word for word in targets if len(word) == 1]
        return cls(masked, targets, single, [word for word in targets if len(word) > 1])


Filled = list[list[list[Filling]]]
"""Candidates of each mask of each text, the likeliest first."""


class FillMask(Task[str, FillMaskOptions, Filled]):
    """Candidates, best first, for each mask of each text: text -> mask -> candidates."""

    name = "fill-mask"
    title = MLM.title
    head = MLM

    def check(self, inputs: Sequence[str], options: FillMaskOptions, model: ServedModel) -> None:
        """Refuse options that no text could satisfy, and more targets than are allowed."""
        most = min(model.limits.max_top_k, model.tokenizer.vocab_size)
        if options.top_k is not None and not 1 <= options.top_k <= most:
            raise InvalidParameter(f"top_k must be from 1 to {most}.", param="parameters.top_k")
        if options.targets is None:
            return
        if len(options.targets) not in {1, len(inputs)}:
            raise InvalidParameter(
                f"targets has {len(options.targets)} lists for {len(inputs)} texts; send one list "
                "for all texts, or one for each.",
                param=_TARGETS,
            )
        if any(not targets for targets in options.targets):
            raise InvalidParameter("A list of targets is empty.", param=_TARGETS)
        if sum([len(targets) for targets in options.targets]) > model.limits.max_targets:
            raise InvalidParameter(
                f"A request may have {model.limits.max_targets} targets, those of all its lists "
                "together.",
                param=_TARGETS,
            )

    def price(self, inputs: Sequence[str], options: FillMaskOptions, model: ServedModel) -> Price:
        """One item a text, at least; what words of several pieces add only their pieces tell."""
        lists, mask = options.targets or (), model.manifest.tokenizer.mask
        size = 0
        for index, text in enumerate(inputs):
            own = options.of(index)
            shown = _shown(0 if own is None else len(lists[own]), options)
            size += _answer_bytes(text.count(mask), shown, len(text))
        lengths = [len(text) for text in inputs]
        price = Price.estimate(lengths, model.manifest.max_tokens, size)
        if not lists:
            return price
        words = sum([len(word) for targets in lists for word in targets])
        # Each text is looked at with each of its targets.
        words += len(lists[0]) * len(inputs) if len(lists) == 1 else sum(map(len, lists))
        return price._replace(characters=price.characters + words)

    def plan(
        self, inputs: Sequence[str], options: FillMaskOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[Filled]:
        """One item a text for what single pieces score, and one for each piece of longer words."""
        lists = options.targets or ()
        words = [
            _words(model, targets, _TARGETS + (f"[{number}]" if len(lists) > 1 else ""), proceed)
            for number, targets in enumerate(lists)
        ]
        own = [() if (n := options.of(i)) is None else words[n] for i in range(len(inputs))]
        with_targets = list(zip(inputs, own, strict=True))
        read, price = partial(_read, options, model), partial(_price, options)
        texts, total = read_each(with_targets, read, price, model, proceed)
        require_few_masks([text.masked for text in texts], model.limits)

        def items() -> list[Item]:
            return [item for text in texts for item in _items(text, options, model.tokenizer)]

        def answer(results: Results) -> Filled:
            stream = iter(results_as(MaskResult, results))
            return [
                _candidates(model.tokenizer, text, [next(stream) for _ in range(count)], options)
                for text, count in zip(texts, map(_item_count, texts), strict=True)
            ]

        return Plan(total, items, answer, tuple([text.masked.truncated for text in texts]))

    def sample(self) -> MaskScores:
        """The usual candidates of one mask."""
        return MaskScores((1,), DEFAULT_TOP_K)


# --- what it takes ----------------------------------------------------------------------------


def _shown(targets: int, options: FillMaskOptions) -> int:
    """Candidates that are put together for each mask; of targets all, to be ranked."""
    return targets or options.top_k or DEFAULT_TOP_K


def _answer_bytes(masks: int, candidates: int, shown: int) -> int:
    """Memory of the candidates of one text; each shows the whole text, as str and as JSON."""
    return masks * candidates * (CANDIDATE_BYTES + 2 * shown)


def _price(options: FillMaskOptions, text: _Text) -> Price:
    return Price(0, _token_count(text), _answer_bytes_of(text, options))


def _answer_bytes_of(text: _Text, options: FillMaskOptions) -> int:
    """The same of a text that was read, with the words that it is to be filled with."""
    masks = len(text.masked.masks)
    pieces = masks * sum([len(word) for word in text.targets])
    candidates = _shown(len(text.targets), options)
    return _answer_bytes(masks, candidates, text.masked.shown) + pieces * PIECE_BYTES


def _item_count(text: _Text) -> int:
    """Items of one text.

    >>> _item_count(_Text.of(MaskedText([7, 8], [0, 1], False, 9), ((5, 6), (5, 6, 7))))
    11
    """
    return 1 + len(text.masked.masks) * sum([len(word) for word in text.several])


def _token_count(text: _Text) -> int:
    """Tokens of all its items, which are not made yet: a mask becomes as many as a word has pieces.

    >>> _token_count(_Text.of(MaskedText([7, 8], [0, 1], False, 9), ((5, 6), (5, 6, 7))))
    60
    """
    alone = len(text.masked.ids) + TEXT_SPECIALS
    steps = sum([len(word) * (alone + len(word) - 1) for word in text.several])
    return alone + len(text.masked.masks) * steps


# --- texts -> items ---------------------------------------------------------------------------


def _words(
    model: ServedModel, targets: Sequence[str], param: str, proceed: Proceed
) -> tuple[Word, ...]:
    """Word pieces of each target, duplicates dropped."""
    found: dict[Word, None] = {}
    for number, target in enumerate(targets):
        proceed()
        found[_word(model, target, f"{param}[{number}]")] = None
    return tuple(found)


def _word(model: ServedModel, target: str, param: str) -> Word:
    """The pieces of a target: itself where the vocabulary has it, as transformers takes it."""
    tokenizer = model.tokenizer
    require_unicode(target, param)
    exact = tokenizer.token_id(target)
    if exact is not None and exact != tokenizer.special.unk:
        return (exact,)
    try:
        pieces = tokenizer.pieces(target, model.manifest.max_tokens, truncate=False, param=param)
    except EmptyText:
        raise _unknown(param) from None
    if tokenizer.special.unk in pieces.ids:
        raise _unknown(param)
    return tuple(pieces.ids)


def _unknown(param: str) -> UnknownTarget:
    return UnknownTarget("The vocabulary cannot spell this target.", param=param)


def _read(
    options: FillMaskOptions, model: ServedModel, given: tuple[str, tuple[Word, ...]], param: str
) -> _Text:
    """Tokenise, with room for the longest target at a mask."""
    text, targets = given
    longest = max([len(word) for word in targets], default=1)
    masked = read_masked(text, model, truncate=options.truncate, param=param, pieces_a_mask=longest)
    return _Text.of(masked, targets)


def _items(text: _Text, options: FillMaskOptions, tokenizer: Tokenizer) -> list[Item]:
    """First the item that scores single tokens at all masks, then those of whole words."""
    ids, masks = text.masked.ids, text.masked.masks
    rows = tuple([position + 1 for position in masks])
    whole = tokenizer.assemble(ids)
    if not text.targets:
        return [Item(whole, MaskScores(rows, options.top_k or DEFAULT_TOP_K))]
    targets = tuple([(row, token) for row in range(len(rows)) for (token,) in text.single])
    items = [Item(whole, MaskScores(rows, 1, targets))]
    mask = mask_id(tokenizer)
    for position in masks:
        for word in text.several:
            for known, piece in enumerate(word):
                begun = [*word[:known], *[mask] * (len(word) - known)]
                step = MaskScores((position + known + 1,), 1, ((0, piece),))
                items.append(Item(tokenizer.assemble(filled(ids, position, begun)), step))
    return items


# --- results -> candidates --------------------------------------------------------------------


def _candidates(
    tokenizer: Tokenizer, text: _Text, results: Sequence[MaskResult], options: FillMaskOptions
) -> list[list[Filling]]:
    """The candidates of each mask of one text, best first."""
    first, *steps = results
    if not text.targets:
        scores = np.exp(first.log_probabilities).tolist()
        return [
            _fillings(tokenizer, text.masked, position, [(token,) for token in ids], own)
            for position, ids, own in zip(
                text.masked.masks, first.ids.tolist(), scores, strict=True
            )
        ]
    single = iter(first.target_log_probabilities.tolist())
    chain = iter(steps)
    answer = []
    for position in text.masked.masks:
        # Singles were asked for mask by mask, and so were words: both streams are in this order.
        logs_of = {word: next(single) for word in text.single}
        for word in text.several:
            logs_of[word] = sum([float(next(chain).target_log_probabilities[0]) for _ in word])
        logs = np.array([logs_of[word] for word in text.targets])
        if options.normalize_targets:
            logs -= np.logaddexp.reduce(logs)
        fillings = _fillings(tokenizer, text.masked, position, text.targets, np.exp(logs).tolist())
        fillings.sort(key=lambda filling: -filling.score)
        answer.append(fillings[: options.top_k])
    return answer


def _fillings(
    tokenizer: Tokenizer,
    text: MaskedText,
    position: int,
    candidates: Sequence[Word],
    scores: Sequence[float],
) -> list[Filling]:
    """The candidates at one mask, each shown in its text."""
    sequences = tokenizer.decode_each(
        [tokenizer.special.cls, *text.ids[:position]],
        candidates,
        [*text.ids[position + 1 :], tokenizer.special.sep],
        # With other masks left, special tokens stay visible, as transformers shows them.
        skip_special=len(text.masks) == 1,
    )
    return [
        Filling(
            score=score,
            token=pieces[0] if len(pieces) == 1 else None,
            token_str=tokenizer.decode(pieces),
            sequence=sequence,
            pieces=pieces,
            scored_as="token" if len(pieces) == 1 else "whole_word",
        )
        for pieces, score, sequence in zip(candidates, scores, sequences, strict=True)
    ]


FILL_MASK: Final = FillMask()
