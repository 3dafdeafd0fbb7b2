"""`POST /nsp`: pairs of texts in, whether the second follows the first out.

BERT's label 0 means IsNext, which has tripped many; here `probability` is always that of IsNext.
"""

from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    CUT,
    Answer,
    Items,
    Pair,
    Text,
    Truncate,
    Truncation,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.nsp import NEXT_SENTENCE

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])

_IS_NEXT: Final = 0.5  # the more likely of the two


def _pair_shape(value: object) -> str | None:
    if isinstance(value, dict):
        return "<pair>"
    return "<two>" if isinstance(value, list) else None


def _shape(value: object) -> str | None:
    if isinstance(value, list) and not (value and isinstance(value[0], str)):
        return "<pairs>"
    return "<one>" if isinstance(value, (list, dict)) else None


_EXPECTED: Final = '{"text", "text_pair"} or a list of two strings'
OnePair = Annotated[
    Annotated[Pair, tag("pair")]
    | Annotated[Items[Text], Field(min_length=2, max_length=2), tag("two")],
    Discriminator(_pair_shape, **shape_error(_EXPECTED)),
]
Pairs = Annotated[
    Annotated[OnePair, tag("one")] | Annotated[Items[OnePair], tag("pairs")],
    Discriminator(_shape, **shape_error(f"{_EXPECTED}, or a list of such pairs")),
]


class NspBody(Truncation):
    """One pair, or a list of pairs."""

    inputs: Pairs = Field(
        examples=[{"text": "The dog ran out.", "text_pair": "It came back at noon."}]
    )
    truncate: Truncate = Field(None, description=f"{CUT}; the longer text of a pair")


class NspAnswer(Answer):
    """Whether a pair's second text follows its first."""

    is_next: bool
    probability: float = Field(description="of IsNext, 0 to 1")
    truncated: bool | None = Field(None, description="present and true when the pair was cut")


@router.post(
    "/nsp",
    summary="Predict the next sentence",
    response_model=NspAnswer | list[NspAnswer],
    responses=TASK_ERRORS,
)
async def nsp(body: NspBody, call: Call) -> Response:
    """Predicts whether the second text follows the first; a single pair answers one object."""
    pairs, many = _as_list(body.inputs)

    def shape(read: Answered[list[float]]) -> object:
        answers = [
            {"is_next": probability > _IS_NEXT, "probability": probability}
            | ({"truncated": True} if truncated else {})
            for probability, truncated in zip(read.value, read.usage.truncated, strict=True)
        ]
        return answers if many else answers[0]

    return await call.run(NEXT_SENTENCE, pairs, body.cut, shape, many=many)


def _as_list(
    inputs: Pair | list[str] | list[Pair | list[str]],
) -> tuple[list[tuple[str, str]], bool]:
    """Returns the pairs as a list, and whether the client sent one.

    >>> _as_list(["a", "b"]), _as_list([["a", "b"]])
    (([('a', 'b')], False), ([('a', 'b')], True))
    """
    if isinstance(inputs, Pair):
        return [(inputs.text, inputs.text_pair)], False
    texts = [entry for entry in inputs if isinstance(entry, str)]
    if texts:
        return [(texts[0], texts[1])], False
    pairs = [entry for entry in inputs if not isinstance(entry, str)]
    return [
        (pair.text, pair.text_pair) if isinstance(pair, Pair) else (pair[0], pair[1])
        for pair in pairs
    ], True
