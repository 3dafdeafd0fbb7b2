"""`/v1/embeddings` and `/v1/models`: the shapes that OpenAI's clients send and read.

Token ids are refused unless the server was told to accept them: clients make them with another
model's tokenizer, and embedding them would answer nonsense.
"""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.errors import InvalidParameter, WrongType
from server.http.routes.embed import TextsOrIds, VectorOptions, as_list, encode
from server.http.routing import NAMED, TASK_ERRORS, TIMED, Call, TaskRoute, errors, json_response
from server.http.schemas import Answer, AtLeast1
from server.inference.pipeline import Answered
from server.inference.tasks.embed import EMBED, EmbedOptions, Vectors
from server.inference.tasks.pairs import Cut
from server.inference.tasks.quantised import Dtype

router = APIRouter(route_class=TaskRoute, tags=["OpenAI"])


Format = Literal["float", "base64", "int8", "uint8", "binary", "ubinary"]


class EmbeddingsBody(VectorOptions):
    """Texts and how to embed them; vectors have length 1 if the model makes them so."""

    input: TextsOrIds = Field(examples=["A river runs through it."])
    model: str | None = Field(None, description="name of a loaded model; the default one if absent")
    encoding_format: Format | None = Field(
        "float", description="base64: the bytes of the numbers; others are those of `output_dtype`"
    )
    dimensions: AtLeast1 | None = Field(
        None, description="keep the first so many numbers, then normalise"
    )
    user: str | None = Field(None, description="accepted and ignored")
    truncate: bool | None = Field(
        default=False, description="cut what is too long; an extension of OpenAI's shape"
    )


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


class ModelCard(Answer):
    """A loaded model."""

    id: str
    object: Literal["model"]
    created: int = Field(description="when it was exported, in Unix seconds")
    owned_by: str


class ModelList(Answer):
    """All loaded models, the default one first."""

    object: Literal["list"]
    data: list[ModelCard]


@router.post(
    "/v1/embeddings",
    summary="Embed texts",
    response_model=EmbeddingsAnswer,
    responses=TASK_ERRORS,
    dependencies=[TIMED],
)
async def embeddings(body: EmbeddingsBody, call: Call) -> Response:
    """Embeds each text with `model`; `x-truncated` lists the indices of texts that were cut."""
    call.pipeline(body.model)
    texts, many = as_list(body.input)
    if not isinstance(texts[0], str) and not call.context.service.settings.allow_token_ids:
        raise WrongType(
            "input holds token ids, which another model's tokenizer may have made. Send texts: in "
            "LangChain set OpenAIEmbeddings(check_embedding_ctx_length=False). Ids of this model's "
            "own tokenizer are accepted when the server runs with --allow-token-ids.",
            param="input",
        )
    options = EmbedOptions(
        Cut(bool(body.truncate)),
        dimensions=body.dimensions,
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

    return await call.run(EMBED, texts, options, shape, many=many, field="input", model=body.model)


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
    "/v1/models", summary="List models", response_model=ModelList, responses=errors(500, 503)
)
async def models(call: Call) -> Response:
    """Lists the loaded models."""
    call.pipeline()
    registry = call.context.service.registry
    names = sorted(registry.pipelines, key=lambda name: name != registry.default)
    return json_response({"object": "list", "data": [_card(call, name) for name in names]})


@router.get(
    "/v1/models/{model}",
    summary="Describe a model",
    response_model=ModelCard,
    responses=errors(404, 500, 503),
    dependencies=[NAMED],
)
async def model(call: Call) -> Response:
    """Describes one loaded model."""
    call.pipeline()
    return json_response(_card(call, call.context.model))


def _card(call: Call, name: str) -> dict[str, object]:
    manifest = call.context.service.registry.pipeline(name).manifest
    return {
        "id": name,
        "object": "model",
        "created": _unix_seconds(manifest.created),
        "owned_by": manifest.source,
    }


def _unix_seconds(created: str) -> int:
    """Reads a manifest's time.

    >>> _unix_seconds("2018-10-11T00:50:01Z")
    1539219001
    """
    return int(datetime.fromisoformat(created).timestamp())
