"""`POST /embed_all`: texts in, a vector for each of their tokens out, in the shape of TEI."""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routes.embed import TextsOrIds, as_list
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import AtLeast1, DirectedTruncation
from server.inference.tasks.embed import EmbedOptions
from server.inference.tasks.embed_all import EMBED_ALL, EmbedAllOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class EmbedAllBody(DirectedTruncation):
    """Texts, or the token ids of texts as this model's own tokenizer makes them."""

    inputs: TextsOrIds = Field(examples=["A river runs through it."])
    prompt_name: str | None = Field(None, description="a prompt of the model to put in front")
    normalize: bool | None = Field(
        None, description="each vector to length 1, or not; only those of `multi_vector` if absent"
    )
    dimensions: AtLeast1 | None = Field(None, description="keep the first so many numbers")
    multi_vector: bool | None = Field(
        default=False,
        description="vectors of late interaction, of a model with such a head: without the first "
        "token's",
    )


@router.post(
    "/embed_all",
    summary="Embed tokens",
    response_model=list[list[list[float]]],
    responses=TASK_ERRORS,
)
async def embed_all(body: EmbedAllBody, call: Call) -> Response:
    """Embeds each token, special tokens too; `x-truncated` lists texts that were cut."""
    texts, many = as_list(body.inputs)
    options = EmbedAllOptions(
        EmbedOptions(
            cut=body.cut,
            normalize=body.normalize,
            dimensions=body.dimensions,
            prompt_name=body.prompt_name,
        ),
        multi_vector=bool(body.multi_vector),
    )
    return await call.run(EMBED_ALL, texts, options, lambda embedded: embedded.value, many=many)
