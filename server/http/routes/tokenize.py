"""`POST /tokenize`: texts or pairs in, their tokens out, in the shape of TEI and a little more.

A token says which of the three embeddings that BERT adds up it selects: its own (`id`), its
segment's (`token_type_id`) and its place's (`position`). Asked for, it comes with their numbers.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Answer, Body, TextsOrPairs, texts_and_pairs
from server.inference.pipeline import Answered
from server.inference.tasks.pairs import TextOrPair
from server.inference.tasks.tokenization import (
    MOST_NUMBERS,
    TOKENIZATION,
    Shown,
    TokenizationOptions,
)

router = APIRouter(route_class=TaskRoute, tags=["tokens"], dependencies=[TIMED])


class TokenizeBody(Body):
    """Texts, or pairs as `/nsp` takes them."""

    inputs: TextsOrPairs = Field(examples=["Paris is the [MASK] of France."])
    add_special_tokens: bool | None = Field(
        default=True, description="add those around a text, such as [CLS] and [SEP]"
    )
    embeddings: Annotated[int, Field(ge=0, le=MOST_NUMBERS)] | None = Field(
        default=0,
        description="so many numbers of each embedding that the encoder adds up for a token, "
        f"{MOST_NUMBERS} at most",
    )


class TokenEmbeddings(Answer):
    """The first numbers of what is added up for a token, before the sum is normalised."""

    token: list[float]
    segment: list[float] | None = Field(description="null if the encoder has none")
    position: list[float] | None = Field(description="null if the encoder has none")


class Token(Answer):
    """One token."""

    id: int
    text: str = Field(description="what it covers of the input; a special token's own name")
    special: bool
    start: int | None = Field(description="first character covered, in code points of its text")
    stop: int | None = Field(description="end of what it covers")
    token: str = Field(description="as it stands in the vocabulary")
    token_type_id: int = Field(description="segment: 0, or 1 for the second text of a pair")
    position: int
    embeddings: TokenEmbeddings | None = Field(default=None, description="if asked for")


@router.post(
    "/tokenize", summary="Show tokens", response_model=list[list[Token]], responses=TASK_ERRORS
)
async def tokenize(body: TokenizeBody, call: Call) -> Response:
    """Splits each input into the tokens that the model reads; always answers a list of lists."""
    inputs, many = texts_and_pairs(body.inputs)
    special = True if body.add_special_tokens is None else body.add_special_tokens
    options = TokenizationOptions(special, body.embeddings or 0)

    def shape(tokenized: Answered[list[Shown]]) -> object:
        return [_tokens(*pair) for pair in zip(inputs, tokenized.value, strict=True)]

    return await call.run(TOKENIZATION, inputs, options, shape, many=many)


def _tokens(texts: TextOrPair, shown: Shown) -> list[dict[str, Any]]:
    result, embedded = shown
    tokens: list[dict[str, Any]] = [
        {
            "id": result.ids[index],
            "text": result.tokens[index] if span is None else (texts[of] or "")[slice(*span)],
            "special": result.special[index],
            "start": None if span is None else span[0],
            "stop": None if span is None else span[1],
            "token": result.tokens[index],
            "token_type_id": segment,
            "position": result.positions[index],
        }
        for index, (span, segment, of) in enumerate(
            zip(result.offsets, result.token_type_ids, result.texts, strict=True)
        )
    ]
    if embedded is not None:
        for index, token in enumerate(tokens):
            token["embeddings"] = {
                name: None if rows is None else rows[index]
                for name, rows in embedded._asdict().items()
            }
    return tokens
