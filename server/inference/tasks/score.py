"""Texts in, how likely a masked language model finds each of them out, token by token.

A pseudo-log-likelihood adds up what the model says of each token when that token is hidden from it,

    PLL(text) = Σ_i log P(token_i | the text without token_i)

(Salazar et al. 2020, arXiv:1910.14659). One copy of the text is computed for each token, with its
mask, and one number is read of it. All copies have the length of the text, so they share batches
without padding.

A word of several pieces then looks likelier than it is, since its other pieces give each away. The
form "within_word_l2r" hides the pieces of the same word that follow as well (Kauf and Ivanova 2023,
arXiv:2305.10588). What is a word is the tokenizer's business: what it looks for pieces in.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Literal, NamedTuple

from models.heads import MLM
from server.errors import EmptyText, TooManyTokens
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskResult,
    MaskScores,
    Results,
    results_as,
)
from server.inference.tasks.masked_text import mask_id
from server.inference.tasks.pairs import TEXT_SPECIALS
from server.inference.tasks.task import (
    CHARACTER_BYTES,
    Plan,
    Price,
    Proceed,
    ServedModel,
    Task,
    read_each,
)
from server.inference.tokenizer import Tokenizer, too_long

Metric = Literal["original", "within_word_l2r"]
"""Which of the two forms; minicons has the same names for them."""

# Memory of one token while an answer is put together, beside its spelling: its result, and its row
# as Python's objects and as JSON.
_TOKEN_BYTES: Final = 900
_LARGEST_EXPONENT: Final = math.log(sys.float_info.max)


class ScoreOptions(NamedTuple):
    """What a request asks besides its texts."""

    metric: Metric = "original"
    truncate: bool = False


class ScoredToken(NamedTuple):
    """One token and how likely it is where it stands."""

    id: int
    token: str
    """As it stands in the vocabulary."""
    start: int | None
    """Where it begins in the text, in code points; None where the tokenizer does not tell."""
    stop: int | None
    word: int
    """Number of its word in the text."""
    log_probability: float


@dataclass(frozen=True)
class Score:
    """One text's tokens that were scored, and what they come to."""

    tokens: list[ScoredToken]

    @property
    def log_probability(self) -> float:
        """The pseudo-log-likelihood: the sum over all tokens."""
        return math.fsum([token.log_probability for token in self.tokens])

    @property
    def pseudo_perplexity(self) -> float:
        """How many equally likely tokens the model wavers between, as it were: exp(-PLL / n).

        >>> tokens = [ScoredToken(7, "a", 0, 1, 0, -0.5), ScoredToken(8, "b", 2, 3, 1, -1.5)]
        >>> round(Score(tokens).pseudo_perplexity, 3)
        2.718
        """
        # Of a model that is very sure of something else it could be more than a number can say.
        exponent = -self.log_probability / len(self.tokens)
        return math.exp(min(exponent, _LARGEST_EXPONENT))


@dataclass(frozen=True)
class _Text:
    """One tokenised text; all lists have one entry per piece, special tokens around it left out."""

    ids: list[int]
    spans: list[tuple[int, int]]
    words: list[int]
    scored: list[int]
    """Which pieces are scored: not those that the text spells as special tokens."""
    truncated: bool
    shown: int
    """Bytes of the pieces as they are shown."""

    @property
    def tokens(self) -> int:
        """To compute, of all copies."""
        return len(self.scored) * (len(self.ids) + TEXT_SPECIALS)


class Scoring(Task[str, ScoreOptions, list[Score]]):
    """How likely each text is, token by token."""

    name = "score"
    title = MLM.title
    head = MLM

    def price(self, inputs: Sequence[str], options: ScoreOptions, model: ServedModel) -> Price:
        """A copy of the text for each of its tokens."""
        lengths = [len(text) for text in inputs]
        most = model.manifest.max_tokens
        tokens = size = 0
        for length in lengths:
            _, own, _ = Price.estimate([length], most, 0)
            tokens += own * max(1, own - TEXT_SPECIALS)
            size += own * _TOKEN_BYTES + length * CHARACTER_BYTES
        return Price.estimate(lengths, most, size)._replace(tokens=tokens)

    def plan(
        self, inputs: Sequence[str], options: ScoreOptions, model: ServedModel, proceed: Proceed
    ) -> Plan[list[Score]]:
        """One item a token, in the texts' order."""
        texts, price = read_each(inputs, partial(_read, options, model), _price, model, proceed)

        def items() -> list[Item]:
            return [item for text in texts for item in _copies(text, options, model.tokenizer)]

        def answer(results: Results) -> list[Score]:
            logs = (
                float(one.target_log_probabilities[0]) for one in results_as(MaskResult, results)
            )
            return [
                _score(model.tokenizer, text, list(islice(logs, len(text.scored))))
                for text in texts
            ]

        return Plan(price, items, answer, tuple([text.truncated for text in texts]))

    def sample(self) -> MaskScores:
        """One token at one mask."""
        return _reads(1, 0)


def _read(options: ScoreOptions, model: ServedModel, text: str, param: str) -> _Text:
    """Tokenise, and decide what is scored."""
    most, tokenizer = model.manifest.max_tokens, model.tokenizer
    pieces = tokenizer.located(text, most, truncate=options.truncate, param=param)
    room = most - TEXT_SPECIALS
    over = len(pieces.ids) > room
    if over and not options.truncate:
        raise too_long(most, param)
    ids, special = pieces.ids[:room], tokenizer.special
    never = {special.cls, special.sep, special.mask, special.pad}
    scored = [place for place, token in enumerate(ids) if token not in never]
    if not scored:
        raise EmptyText("The text has special tokens only: nothing is left to score.", param=param)
    shown = tokenizer.spelled_bytes(ids)
    read = _Text(ids, pieces.spans[:room], pieces.words[:room], scored, pieces.cut or over, shown)
    if read.tokens > model.limits.max_request_tokens:
        raise TooManyTokens(
            f"To score this text takes {len(scored)} copies of {len(ids) + TEXT_SPECIALS} tokens, "
            f"{read.tokens} together, and {model.limits.max_request_tokens} are allowed; score "
            "parts of it by themselves.",
            param=param,
        )
    return read


def _price(text: _Text) -> Price:
    size = len(text.scored) * _TOKEN_BYTES + text.shown * CHARACTER_BYTES
    return Price(0, text.tokens, size)


def _copies(text: _Text, options: ScoreOptions, tokenizer: Tokenizer) -> list[Item]:
    """The text once for each token that is scored, with that token hidden."""
    whole, mask = tokenizer.assemble(text.ids), mask_id(tokenizer)
    copies = []
    for place in text.scored:
        row, ids = place + 1, whole.ids.copy()
        ids[row] = mask
        if options.metric == "within_word_l2r":
            ids[row : _end_of_word(text.words, place) + 1] = mask
        copies.append(Item(Encoding(ids, whole.type_ids), _reads(row, text.ids[place])))
    return copies


def _end_of_word(words: Sequence[int], place: int) -> int:
    """Where the word ends that a piece belongs to.

    >>> _end_of_word([0, 1, 1, 1, 2], 2)
    4
    """
    end = place + 1
    while end < len(words) and words[end] == words[place]:
        end += 1
    return end


def _reads(row: int, token: int) -> MaskScores:
    """The log-probability of one token; of the vocabulary's best no more than must be read."""
    return MaskScores((row,), 1, ((0, token),))


def _score(tokenizer: Tokenizer, text: _Text, logs: Sequence[float]) -> Score:
    """The tokens with their log-probabilities."""
    # Of words that MeCab found it is not known where in the text they stood.
    placed = not tokenizer.spec.words
    return Score(
        [
            ScoredToken(
                id=text.ids[place],
                token=tokenizer.token(text.ids[place]),
                start=text.spans[place][0] if placed else None,
                stop=text.spans[place][1] if placed else None,
                word=text.words[place],
                log_probability=log,
            )
            for place, log in zip(text.scored, logs, strict=True)
        ]
    )


SCORE: Final = Scoring()
