"""`POST /embed`: texts in, one vector each out, in the shape of text-embeddings-inference (TEI)."""

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from numpy.typing import NDArray
from pydantic import Discriminator, Field
from starlette.responses import Response

from models.pooling import OTHER_NAMES
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    AnyCase,
    AtLeast1,
    Body,
    DirectedTruncation,
    Items,
    Text,
    Whole,
    shape_error,
    tag,
)
from server.inference.tasks.embed import EMBED, EmbedOptions, Kind, Vectors
from server.inference.tasks.embed_all import EMBED_ALL, EmbedAllOptions
from server.inference.tasks.quantised import Dtype, quantised

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return "<lists of ids>"
    return "<ids>" if isinstance(first, int) else "<texts>"


TokenId = Annotated[int, Field(ge=0, lt=2**31)]
TextsOrIds = Annotated[
    Annotated[Text, tag("text")]
    | Annotated[Items[Text], tag("texts")]
    | Annotated[Items[TokenId], tag("ids")]
    | Annotated[Items[Items[TokenId]], tag("lists of ids")],
    Discriminator(
        _shape, **shape_error("a string, a list of strings, or lists of this model's token ids")
    ),
]


Pooling = Literal[
    "mean",
    "cls",
    "max",
    "mean_sqrt_len_tokens",
    "sqrt",
    "weightedmean",
    "lasttoken",
    "mean_max",
    "none",
]
InputType = Literal["query", "passage", "document", "search_query", "search_document"]


class VectorOptions(Body):
    """Which prompt texts get, and in which numbers vectors are written."""

    prompt_name: str | None = Field(None, description="a prompt of the model to put in front")
    input_type: Annotated[InputType, AnyCase] | None = Field(
        None,
        description="what the texts are, which chooses the model's prompt for it, if it has one",
    )
    output_dtype: Annotated[Dtype, AnyCase] | None = Field(
        None, description="numbers of a vector, those of `binary` and `ubinary` eight bits each"
    )

    @property
    def kind(self) -> Kind | None:
        """What the texts are, as the task has it."""
        if self.input_type is None:
            return None
        return "query" if self.input_type.endswith("query") else "document"


def encode(vectors: Vectors, dtype: Dtype, *, as_text: bool) -> NDArray[Any] | list[str]:
    """Vectors as they stand in an answer: numbers, or the bytes of these in base64."""
    numbers = quantised(vectors, dtype)
    if not as_text:
        return numbers
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return [base64.b64encode(own.tobytes()).decode() for own in little]


class EmbedBody(VectorOptions, DirectedTruncation):
    """Texts, or the token ids of texts as this model's own tokenizer makes them."""

    inputs: TextsOrIds = Field(examples=["A river runs through it."])
    normalize: bool | None = Field(
        None, description="to length 1, or not; as the model does it if absent"
    )
    dimensions: AtLeast1 | None = Field(
        None, description="keep the first so many numbers, then normalise"
    )
    pooling: Annotated[Pooling, AnyCase] | None = Field(
        None,
        description="how rows become one vector, where it differs from the model's own; none: a "
        "vector for each token",
    )
    layer: Whole | None = Field(
        None, description="layer to pool, counted from the end: -2 is the last but one"
    )


@router.post(
    "/embed",
    summary="Embed texts",
    response_model=list[list[float]] | list[list[list[float]]],
    responses=TASK_ERRORS,
)
async def embed(body: EmbedBody, call: Call) -> Response:
    """Embeds each text; `x-truncated` lists the indices of texts that were cut."""
    texts, many = as_list(body.inputs)
    dtype: Dtype = body.output_dtype or "float"
    options = EmbedOptions(
        cut=body.cut,
        normalize=body.normalize,
        dimensions=body.dimensions,
        prompt_name=body.prompt_name,
        input_type=body.kind,
        pooling=OTHER_NAMES.get(body.pooling or "", body.pooling),
        layer=body.layer,
    )

    if body.pooling == "none":
        return await call.run(
            EMBED_ALL,
            texts,
            EmbedAllOptions(options),
            lambda embedded: [encode(own, dtype, as_text=False) for own in embedded.value],
            many=many,
        )
    return await call.run(
        EMBED,
        texts,
        options,
        lambda embedded: encode(embedded.value, dtype, as_text=False),
        many=many,
    )


def as_list(
    inputs: str | list[str] | list[int] | list[list[int]],
) -> tuple[list[str] | list[list[int]], bool]:
    """Returns the inputs as a list, and whether the client sent one.

    >>> as_list("a"), as_list([101, 102]), as_list(["a", "b"])
    ((['a'], False), ([[101, 102]], False), (['a', 'b'], True))
    """
    if isinstance(inputs, str):
        return [inputs], False
    ids = [entry for entry in inputs if isinstance(entry, int)]
    if ids:
        return [ids], False
    texts = [entry for entry in inputs if isinstance(entry, str)]
    return (texts or [entry for entry in inputs if isinstance(entry, list)]), True
