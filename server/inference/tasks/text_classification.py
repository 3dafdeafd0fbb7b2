"""Texts or pairs in, their labels with scores out, best first.

Labels that exclude each other get probabilities that add up to 1 (softmax); labels that do not, or
a single one, get a probability each (sigmoid); a regression's number is given as it is. Which of
them a model was trained for stands in its manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.manifest import ModelManifest
from models.probabilities import sigmoid, softmax, unchanged
from server.errors import InvalidParameter, TooLong
from server.inference.runtime.packing import ClassWant, Item, MaskResult, Result
from server.inference.tasks.nsp import longest_first
from server.inference.tasks.plan import Limits, Plan
from server.inference.tokenizer import Tokenizer, too_long

TEXT_SPECIALS, PAIR_SPECIALS = 2, 3  # [CLS] a [SEP], and b [SEP]

Function = Literal["softmax", "sigmoid", "none"]
Direction = Literal["left", "right"]

_FUNCTIONS: Final[Mapping[Function, Callable[[NDArray[np.float32]], NDArray[np.float64]]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": unchanged,
}


class Label(NamedTuple):
    """One label of one text."""

    score: float
    label: str


@dataclass(frozen=True)
class PredictOptions:
    """What a classification request asks besides its texts."""

    function: Function | None = None
    """Logits -> scores; None for what the model was trained for."""
    top_k: int | None = None
    """Labels per text; None for all."""
    truncate: bool = False
    truncation_direction: Direction = "right"


def check_predict(
    options: PredictOptions, inputs: Sequence[tuple[str, str | None]], manifest: ModelManifest
) -> None:
    """Raise `InvalidParameter` for what the model cannot do."""
    if options.top_k is not None and options.top_k < 1:
        raise InvalidParameter("top_k must be at least 1.", param="parameters.top_k")
    if manifest.architecture.type_vocab_size > 1:
        return
    for index, (_, second) in enumerate(inputs):
        if second is not None:
            raise InvalidParameter(
                "This model reads single texts, no pairs.", param=f"inputs[{index}]"
            )


def usual_function(manifest: ModelManifest) -> Function:
    """What turns this model's logits into scores, as transformers chooses it."""
    if manifest.regression:
        return "none"
    return "sigmoid" if manifest.multi_label or len(manifest.labels) == 1 else "softmax"


def plan_predict(
    tokenizer: Tokenizer,
    inputs: Sequence[tuple[str, str | None]],
    options: PredictOptions,
    manifest: ModelManifest,
    limits: Limits,
) -> Plan[list[list[Label]]]:
    """One item per text or pair; the answer is text -> labels, best first."""
    items, truncated = [], []
    for index, (first, second) in enumerate(inputs):
        item, cut = _item(tokenizer, first, second, options, limits, f"inputs[{index}]")
        items.append(item)
        truncated.append(cut)
    function = _FUNCTIONS[options.function or usual_function(manifest)]

    def finish(results: list[Result]) -> list[list[Label]]:
        rows = [result for result in results if not isinstance(result, MaskResult)]
        scores = function(np.stack(rows))  # (texts, labels)
        return [_ranked(row, manifest.labels, options.top_k) for row in scores]

    return Plan(items, finish, tuple(truncated))


def _ranked(scores: NDArray[np.float64], labels: Sequence[str], top_k: int | None) -> list[Label]:
    """Labels by falling score; equal ones in the model's order."""
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [Label(float(scores[index]), labels[index]) for index in order]


def _item(
    tokenizer: Tokenizer,
    first: str,
    second: str | None,
    options: PredictOptions,
    limits: Limits,
    param: str,
) -> tuple[Item, bool]:
    """One text or pair, cut where that was asked for, and whether it was."""
    cut_end = options.truncation_direction
    parts = [
        tokenizer.pieces(
            text, limits.max_tokens, truncate=options.truncate, cut=cut_end, param=param
        )
        for text in ((first,) if second is None else (first, second))
    ]
    room = limits.max_tokens - (TEXT_SPECIALS if second is None else PAIR_SPECIALS)
    counts = [len(part.ids) for part in parts]
    over = sum(counts) > room
    if over and not options.truncate:
        raise (
            too_long(limits.max_tokens, param)
            if second is None
            else _pair_too_long(limits.max_tokens, param)
        )
    kept = (min(counts[0], room),) if second is None else longest_first(counts[0], counts[1], room)
    ids = [_keep(part.ids, count, cut_end) for part, count in zip(parts, kept, strict=True)]
    return Item(tokenizer.assemble(*ids), ClassWant()), over or any(part.cut for part in parts)


def _keep(ids: list[int], count: int, cut_end: Direction) -> list[int]:
    """The first `count` of `ids`, or the last where the left end is cut.

    >>> _keep([5, 6, 7], 2, "right"), _keep([5, 6, 7], 2, "left")
    ([5, 6], [6, 7])
    """
    return ids[:count] if cut_end == "right" else ids[len(ids) - count :]


def _pair_too_long(max_tokens: int, param: str) -> TooLong:
    return TooLong(
        f"The pair is longer than {max_tokens} tokens; shorten it, or set `truncate` to true.",
        param=param,
    )
