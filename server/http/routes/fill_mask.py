"""`POST /fill-mask`: texts with masks in, the likeliest words for each mask out.

The shape is Hugging Face's. One text answers a list of candidates, or one such list per mask when
it has several; a list of texts answers one result per text, also when the list has one text. With
`joint` a text answers one list of fillings, each of them with a word for every mask.
"""

import math
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
    AnyCase,
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
from server.inference.tasks.joint_filling import (
    DEFAULT_BEAMS,
    FILL_JOINTLY,
    JointFilling,
    JointlyFilled,
    JointOptions,
    Order,
)

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
    joint: bool | None = Field(
        default=False, description="fill all masks of a text together; then top_k fillings a text"
    )
    order: Annotated[Order, AnyCase] | None = Field(
        None,
        description="which mask a joint filling fills next: the first, left_to_right, if absent; "
        "or the one of which the model is surest, confidence",
    )
    num_beams: AtLeast1 | None = Field(
        None,
        description="how many partial fillings the search for joint ones goes on with at each step;"
        f" {DEFAULT_BEAMS} if absent, or top_k if that is more",
    )


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


class JointCandidate(Answer):
    """Words for all masks of a text."""

    score: float = Field(description="joint probability of the words")
    log_probability: float = Field(
        description="its natural logarithm: the sum for each mask, given those filled before it"
    )
    tokens: list[int] = Field(description="ids in the vocabulary, in the order of the masks")
    token_strs: list[str]
    sequence: str = Field(description="the text with these words filled in")
    order: list[int] = Field(description="numbers of the masks as they were filled, from 0")


ForOneText = list[Candidate] | list[list[Candidate]] | list[JointCandidate]
FillMaskAnswer = ForOneText | list[ForOneText]


@router.post(
    "/fill-mask", summary="Fill masks", response_model=FillMaskAnswer, responses=TASK_ERRORS
)
async def fill_mask(body: FillMaskBody, call: Call) -> Response:
    """Fills each `[MASK]`; `x-truncated` lists the indices of texts that were cut."""
    parameters = body.parameters or _DEFAULTS
    many = isinstance(body.inputs, list)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs

    def joint(filled: Answered[JointlyFilled]) -> list[Any]:
        answers = [[_joint_candidate(filling) for filling in found] for found in filled.value]
        return answers if many else answers[0]

    if parameters.joint:
        return await call.run(FILL_JOINTLY, texts, _joint_options(parameters), joint, many=many)
    _require_no_search(parameters)
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


def _joint_options(parameters: FillMaskParameters) -> JointOptions:
    if parameters.targets is not None or parameters.normalize_targets:
        raise InvalidParameter(
            "joint looks for words in the whole vocabulary: leave out targets and "
            "normalize_targets, or joint.",
            param="parameters.targets",
        )
    return JointOptions(
        top_k=parameters.top_k,
        num_beams=parameters.num_beams,
        order=parameters.order or "left_to_right",
        truncate=bool(parameters.truncate),
    )


def _require_no_search(parameters: FillMaskParameters) -> None:
    for name in ("order", "num_beams"):
        if getattr(parameters, name) is not None:
            raise InvalidParameter(
                f"{name} says how joint fillings are looked for: set joint to true, or leave it "
                "out.",
                param=f"parameters.{name}",
            )


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


def _joint_candidate(filling: JointFilling) -> dict[str, object]:
    return {"score": math.exp(filling.log_probability), **filling._asdict()}


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
