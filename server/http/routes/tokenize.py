"""`POST /tokenize`: texts or pairs in, their tokens out, in the shape of TEI and a little more.

A token says which of the three embeddings that BERT adds up it selects: its own (`id`), its
segment's (`token_type_id`) and its place's (`position`).
"""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Answer, Body, TextsOrPairs, texts_and_pairs
from server.inference.pipeline import Answered
from server.inference.tasks.pairs import TextOrPair
from server.inference.tasks.tokenization import TOKENIZATION
from server.inference.tokenizer import Tokenized

router = APIRouter(route_class=TaskRoute, tags=["tokens"], dependencies=[TIMED])


class TokenizeBody(Body):
    """Texts, or pairs as `/nsp` takes them."""

    inputs: TextsOrPairs = Field(examples=["Paris is the [MASK] of France."])
    add_special_tokens: bool | None = Field(
        default=True, description="add those around a text, such as [CLS] and [SEP]"
    )


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


@router.post(
    "/tokenize", summary="Show tokens", response_model=list[list[Token]], responses=TASK_ERRORS
)
async def tokenize(body: TokenizeBody, call: Call) -> Response:
    """Splits each input into the tokens that the model reads; always answers a list of lists."""
    inputs, many = texts_and_pairs(body.inputs)
    special = True if body.add_special_tokens is None else body.add_special_tokens

    def shape(tokenized: Answered[list[Tokenized]]) -> object:
        return [_tokens(*pair) for pair in zip(inputs, tokenized.value, strict=True)]

    return await call.run(TOKENIZATION, inputs, special, shape, many=many)


def _tokens(texts: TextOrPair, result: Tokenized) -> list[dict[str, Any]]:
    return [
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
