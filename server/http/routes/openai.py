"""`/v1/embeddings` and `/v1/models`: the shapes that OpenAI's clients send and read.

Token ids are refused unless the server was told to accept them: clients make them with another
model's tokenizer, and embedding them would answer nonsense.
"""

import base64
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.errors import WrongType
from server.http.routes.embed import TextsOrIds, as_list
from server.http.routes.models import ModelList, listing
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute, errors, json_response
from server.http.schemas import Answer, AnyCase, AtLeast1, Truncation
from server.inference.pipeline import Answered
from server.inference.runtime.packing import Float32
from server.inference.tasks.embed import EMBED, EmbedOptions, Vectors

router = APIRouter(route_class=TaskRoute, tags=["OpenAI"])


class EmbeddingsBody(Truncation):
    """Texts and how to embed them; vectors have length 1 if the model makes them so."""

    input: TextsOrIds = Field(examples=["A river runs through it."])
    encoding_format: Annotated[Literal["float", "base64"], AnyCase] | None = Field(
        "float", description="base64: little-endian float32"
    )
    dimensions: AtLeast1 | None = Field(
        None, description="keep the first so many numbers, then normalise"
    )
    user: str | None = Field(None, description="accepted and ignored")


class Embedding(Answer):
    """One text's vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class TokenUsage(Answer):
    """What was computed."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Answer):
    """One vector for each text, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


@router.post(
    "/v1/embeddings",
    summary="Embed texts",
    response_model=EmbeddingsAnswer,
    responses=TASK_ERRORS,
    dependencies=[TIMED],
)
async def embeddings(body: EmbeddingsBody, call: Call) -> Response:
    """Embeds each text with `model`; `x-truncated` lists the indices of texts that were cut."""
    call.pipeline(EMBED)
    texts, many = as_list(body.input)
    if not isinstance(texts[0], str) and not call.context.service.settings.allow_token_ids:
        raise WrongType(
            "input holds token ids, which another model's tokenizer may have made. Send texts: in "
            "LangChain set OpenAIEmbeddings(check_embedding_ctx_length=False). Ids of this model's "
            "own tokenizer are accepted when the server runs with --allow-token-ids.",
            param="input",
        )
    options = EmbedOptions(body.cut, dimensions=body.dimensions)
    encode = _base64 if body.encoding_format == "base64" else _numbers

    def shape(embedded: Answered[Vectors]) -> object:
        tokens = embedded.usage.tokens
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": encode(vector)}
                for index, vector in enumerate(embedded.value)
            ],
            "model": call.context.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return await call.run(EMBED, texts, options, shape, many=many, field="input")


def _numbers(vector: Float32) -> Float32:
    return vector


def _base64(vector: Float32) -> str:
    return base64.b64encode(vector.astype("<f4", copy=False).tobytes()).decode()


@router.get(
    "/v1/models", summary="List models", response_model=ModelList, responses=errors(500, 503)
)
async def models(call: Call) -> Response:
    """Lists the loaded models."""
    return json_response(listing(call))
