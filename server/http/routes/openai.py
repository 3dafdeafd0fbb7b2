"""`/v1/embeddings` and `/v1/models`: the shapes that OpenAI's clients send and read.

Token ids are refused unless the server was told to accept them: clients make them with another
model's tokenizer, and embedding them would answer nonsense.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.responses import Response

from server.errors import InvalidParameter, WrongType
from server.http.routes.embed import TextsOrIds, VectorOptions, as_list, encode
from server.http.routes.models import ModelCard, ModelList, card, listing
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute, errors, json_response
from server.http.schemas import Answer, AnyCase, AtLeast0, Truncation
from server.inference.pipeline import Answered
from server.inference.tasks.embed import EMBED, EmbedOptions, Vectors
from server.inference.tasks.quantised import Dtype

router = APIRouter(route_class=TaskRoute, tags=["OpenAI"])


Format = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]


class EmbeddingsBody(VectorOptions, Truncation):
    """Texts and how to embed them; vectors have length 1 if the model makes them so."""

    input: TextsOrIds = Field(examples=["A river runs through it."])
    encoding_format: Annotated[Format, AnyCase] | None = Field(
        "float", description="base64: the bytes of the numbers; others are those of `output_dtype`"
    )
    dimensions: AtLeast0 | None = Field(
        None,
        description="keep the first so many numbers, then normalise; all if 0, as Infinity's "
        "clients send it",
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
    options = EmbedOptions(
        body.cut,
        dimensions=body.dimensions or None,
        prompt_name=body.prompt_name,
        input_type=body.kind,
    )
    dtype = _dtype(body)
    as_text = body.encoding_format == "base64"

    def shape(embedded: Answered[Vectors]) -> object:
        tokens = embedded.usage.tokens
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(encode(embedded.value, dtype, as_text=as_text))
            ],
            "model": call.context.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return await call.run(EMBED, texts, options, shape, many=many, field="input")


def _dtype(body: EmbeddingsBody) -> Dtype:
    """The numbers of vectors, which some clients name as a format and others as a type."""
    named = body.encoding_format
    if named is None or named == "base64" or named == "float":  # noqa: PLR1714 - tells mypy more
        return body.output_dtype or "float"
    if body.output_dtype not in (None, named):
        raise InvalidParameter(
            "encoding_format and output_dtype name different numbers; send one of them.",
            param="output_dtype",
        )
    return named


@router.get(
    "/v1/models", summary="List models", response_model=ModelList, responses=errors(404, 500, 503)
)
async def models(call: Call) -> Response:
    """Lists the loaded models."""
    _require_own_model(call)
    return json_response(listing(call))


@router.get(
    "/v1/models/{name}",
    summary="Describe a model",
    response_model=ModelCard,
    responses=errors(404, 500, 503),
)
async def describe_model(
    name: Annotated[str, Path(description="name or alias of a loaded model")], call: Call
) -> Response:
    """Describes one loaded model."""
    _require_own_model(call)
    registry = call.context.service.registry
    call.context.model, _ = registry.find(name)
    return json_response(card(registry, call.context.model))


def _require_own_model(call: Call) -> None:
    """Refuses an address below a model that is not there, though the answer is about all of them.

    Raises:
        ModelNotFound: no loaded model has the name in the path.
    """
    if "model" in call.path_params:
        call.pipeline()
