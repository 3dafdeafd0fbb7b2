"""`POST /token-classification`: texts in, what of them has a label out, such as names.

The shape is Hugging Face's. A text answers a list of entities, a list of texts one such list each.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import CUT, Answer, AnyCase, AtLeast0, Body, Part, Texts, TruncateEnd
from server.inference.pipeline import Answered
from server.inference.tasks.entities import Entity, Strategy
from server.inference.tasks.token_classification import (
    OUTSIDE,
    TOKEN_CLASSIFICATION,
    EntitiesByText,
    EntityOptions,
)

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class TokenClassificationParameters(Part):
    """How tokens become entities; null stands for the default."""

    aggregation_strategy: Annotated[Strategy, AnyCase] | None = Field(
        "simple",
        description="none: tokens; simple: neighbours of one group together; first, average, max: "
        "so too, with one label per word",
    )
    ignore_labels: Annotated[list[str], Field(fail_fast=True)] | None = Field(
        default=[OUTSIDE], description="labels or groups to leave out"
    )
    stride: AtLeast0 | None = Field(
        None, description="read a long text in parts that share so many tokens"
    )
    truncate: TruncateEnd = Field(None, description=CUT)


class TokenClassificationBody(Body):
    """Texts to find labelled words in."""

    inputs: Texts = Field(examples=["Clara lives in Berkeley."])
    parameters: TokenClassificationParameters | None = None


class FoundEntity(Answer):
    """A token, or an entity of several."""

    entity_group: str | None = Field(None, description="label without B- or I-; of entities")
    entity: str | None = Field(None, description="label of a single token, for strategy none")
    index: int | None = Field(None, description="the token's position, for strategy none")
    score: float = Field(description="probability of the label; the mean over an entity")
    word: str = Field(description="its tokens as text")
    start: int = Field(description="where it begins, in code points")
    end: int


@router.post(
    "/token-classification",
    summary="Find entities",
    response_model=list[FoundEntity] | list[list[FoundEntity]],
    responses=TASK_ERRORS,
)
async def token_classification(body: TokenClassificationBody, call: Call) -> Response:
    """Labels tokens and joins them to entities; `x-truncated` lists texts that were cut."""
    many = isinstance(body.inputs, list)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    options = _options(body.parameters or TokenClassificationParameters())
    shown = _token if options.strategy == "none" else _group

    def shape(found: Answered[EntitiesByText]) -> object:
        answers = [[shown(entity) for entity in entities] for entities in found.value]
        return answers if many else answers[0]

    return await call.run(TOKEN_CLASSIFICATION, texts, options, shape, many=many)


def _options(parameters: TokenClassificationParameters) -> EntityOptions:
    ignored = parameters.ignore_labels
    return EntityOptions(
        strategy=parameters.aggregation_strategy or "simple",
        ignore=frozenset([OUTSIDE] if ignored is None else ignored),
        stride=parameters.stride,
        truncate=bool(parameters.truncate),
    )


def _group(entity: Entity) -> dict[str, Any]:
    return {"entity_group": entity.label} | _place(entity)


def _token(entity: Entity) -> dict[str, Any]:
    # Positions count [CLS], as everywhere.
    return {"entity": entity.label, "index": entity.first + 1} | _place(entity)


def _place(entity: Entity) -> dict[str, Any]:
    return {"score": entity.score, "word": entity.word, "start": entity.start, "end": entity.end}
