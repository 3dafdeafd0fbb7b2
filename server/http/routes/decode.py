"""`POST /decode`: token ids in, the texts that they spell out, in the shape of TEI."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from server.http.routes.embed import TokenId
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Body, Items, shape_error, tag
from server.inference.tasks.decoding import DECODING

router = APIRouter(route_class=TaskRoute, tags=["tokens"], dependencies=[TIMED])


def _shape(value: object) -> str | None:
    if not isinstance(value, list):
        return None
    return "<lists of ids>" if value and isinstance(value[0], list) else "<ids>"


class DecodeBody(Body):
    """Token ids of this model's own tokenizer."""

    ids: Annotated[
        Annotated[Items[TokenId], tag("ids")]
        | Annotated[Items[Items[TokenId]], tag("lists of ids")],
        Discriminator(_shape, **shape_error("a list of token ids, or a list of such lists")),
    ] = Field(examples=[[101, 1037, 2314, 102]])
    skip_special_tokens: bool | None = Field(
        default=True, description="leave out tokens such as [CLS] and [SEP]"
    )


@router.post("/decode", summary="Spell tokens", response_model=list[str], responses=TASK_ERRORS)
async def decode(body: DecodeBody, call: Call) -> Response:
    """Spells out each list of token ids; always answers a list."""
    flat = [one for one in body.ids if isinstance(one, int)]
    lists = [flat] if flat else [one for one in body.ids if isinstance(one, list)]
    skip = True if body.skip_special_tokens is None else body.skip_special_tokens
    return await call.run(
        DECODING, lists, skip, lambda decoded: decoded.value, many=not flat, field="ids"
    )
