"""`POST /fill-mask`: texts with masks in, the likeliest words for each mask out.

The shape is Hugging Face's. One text answers a list of candidates, or one such list per mask when
it has several; a list of texts answers one result per text, also when the list has one text.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from server.errors import InvalidParameter
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    CUT,
    Answer,
    AtLeast1,
    Body,
    Items,
    Part,
    Texts,
    TruncateEnd,
    Whole,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.fill_mask import FILL_MASK, Filled, Filling, FillMaskOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


def _targets_shape(value: object) -> str | None:
    if isinstance(value, str):
        return "<word>"
    if not isinstance(value, list):
        return None
    return "<lists>" if value and isinstance(value[0], list) else "<words>"


Targets = Annotated[
    Annotated[str, tag("word")]
    | Annotated[Items[str], tag("words")]
    | Annotated[Items[Items[str]], tag("lists")],
    Discriminator(
        _targets_shape, **shape_error("a word, a list of words, or one list of words per text")
    ),
]


class FillMaskParameters(Part):
    """How to fill; null stands for the default."""

    top_k: AtLeast1 | None = Field(
        None, description="candidates per mask; 5, or all of the targets, if absent"
    )
    targets: Targets | None = Field(
        None,
        description="score these words only, for all texts or one list per text; a word of several "
        "word pieces is scored whole",
    )
    normalize_targets: bool | None = Field(
        default=False, description="make the scores of a mask's targets sum to 1"
    )
    truncate: TruncateEnd = Field(None, description=f"{CUT}; never a mask")


_DEFAULTS: Final = FillMaskParameters()


class FillMaskBody(Body):
    """Texts with `[MASK]`, or what the model has for it, where words are wanted."""

    inputs: Texts = Field(examples=["Paris is the [MASK] of France."])
    parameters: FillMaskParameters | None = None
    options: dict[str, bool | Whole | str | None] | None = Field(
        None, description="accepted because Hugging Face clients send it; ignored"
    )


class Candidate(Answer):
    """One word for one mask."""

    score: float = Field(description="probability over the vocabulary, or over the targets")
    token: int | None = Field(description="id in the vocabulary; null for a whole-word target")
    token_str: str
    sequence: str = Field(description="the text with this word filled in")
    tokens: list[int] | None = Field(None, description="a whole-word target's word pieces")
    scored_as: Literal["whole_word"] | None = Field(
        None, description="whole_word: as many masks as pieces, joint probability"
    )


ForOneText = list[Candidate] | list[list[Candidate]]
FillMaskAnswer = ForOneText | list[ForOneText]


@router.post(
    "/fill-mask", summary="Fill masks", response_model=FillMaskAnswer, responses=TASK_ERRORS
)
async def fill_mask(body: FillMaskBody, call: Call) -> Response:
    """Fills each `[MASK]`; `x-truncated` lists the indices of texts that were cut."""
    parameters = body.parameters or _DEFAULTS
    many = isinstance(body.inputs, list)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    options = FillMaskOptions(
        top_k=parameters.top_k,
        targets=_lists(parameters.targets, len(texts)),
        normalize_targets=bool(parameters.normalize_targets),
        truncate=bool(parameters.truncate),
    )

    def shape(filled: Answered[Filled]) -> list[Any]:
        answers = [_masks(masks) for masks in filled.value]
        return answers if many else answers[0]

    return await call.run(FILL_MASK, texts, options, shape, many=many)


def _lists(
    targets: str | list[str] | list[list[str]] | None, count: int
) -> Sequence[Sequence[str]] | None:
    """Targets as tasks take them: one list for all texts, or one for each of `count`.

    >>> _lists(["heart", "capital"], 2), _lists([["heart"], ["capital"]], 2)
    ([['heart', 'capital']], [['heart'], ['capital']])
    """
    if targets is None:
        return None
    words = [targets] if isinstance(targets, str) else targets
    lists = [entry for entry in words if isinstance(entry, list)]
    if not lists:
        return [[word for word in words if isinstance(word, str)]]
    if len(lists) != count:
        raise InvalidParameter(
            f"targets has {len(lists)} lists for {count} texts; send one list for each text.",
            param="parameters.targets",
        )
    return lists


def _masks(masks: Sequence[Sequence[Filling]]) -> list[Any]:
    lists = [[_candidate(filling) for filling in fillings] for fillings in masks]
    return lists[0] if len(lists) == 1 else lists


def _candidate(filling: Filling) -> dict[str, object]:
    candidate: dict[str, object] = {
        "score": filling.score,
        "token": filling.token,
        "token_str": filling.token_str,
        "sequence": filling.sequence,
    }
    if filling.scored_as != "token":
        candidate |= {"token": None, "tokens": filling.pieces, "scored_as": filling.scored_as}
    return candidate
