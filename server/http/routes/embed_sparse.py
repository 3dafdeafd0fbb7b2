"""`POST /embed_sparse`: texts in, weights of words of the vocabulary out, in the shape of TEI."""

import orjson
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routes.embed import TextsOrIds, as_list
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute, to_json
from server.http.schemas import Answer, AtLeast1, DirectedTruncation
from server.inference.pipeline import Answered
from server.inference.runtime.packing import WordResult
from server.inference.tasks.embed import EmbedOptions
from server.inference.tasks.embed_sparse import EMBED_SPARSE, SparseOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class EmbedSparseBody(DirectedTruncation):
    """Texts, or the token ids of texts as this model's own tokenizer makes them."""

    inputs: TextsOrIds = Field(examples=["A river runs through it."])
    prompt_name: str | None = Field(None, description="a prompt of the model to put in front")
    max_active_dims: AtLeast1 | None = Field(
        None, description="keep the heaviest words only; all if absent"
    )


class SparseValue(Answer):
    """A word of the vocabulary."""

    index: int = Field(description="its token id")
    value: float = Field(description="its weight, above 0")


@router.post(
    "/embed_sparse",
    summary="Embed texts by words",
    response_model=list[list[SparseValue]],
    responses=TASK_ERRORS,
)
async def embed_sparse(body: EmbedSparseBody, call: Call) -> Response:
    """Weighs words for each text; `x-truncated` lists texts that were cut."""
    texts, many = as_list(body.inputs)
    options = SparseOptions(
        EmbedOptions(cut=body.cut, prompt_name=body.prompt_name), body.max_active_dims
    )

    def shape(embedded: Answered[list[WordResult]]) -> object:
        return [_written(one) for one in embedded.value]

    return await call.run(EMBED_SPARSE, texts, options, shape, many=many)


def _written(one: WordResult) -> orjson.Fragment:
    """The words of one text as JSON: those of all as objects would take ten times the memory."""
    pairs = zip(one.words.tolist(), one.weights, strict=True)
    return orjson.Fragment(to_json([{"index": word, "value": weight} for word, weight in pairs]))
