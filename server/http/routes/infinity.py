"""`POST /embeddings` and `/classify`: what Infinity's clients send and read, at its paths."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routes.openai import EmbeddingsAnswer, EmbeddingsBody, TokenUsage, embeddings
from server.http.routes.predict import Prediction
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Answer, Items, Text, Truncation
from server.inference.pipeline import Answered
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    LabelsByText,
    PredictOptions,
)

router = APIRouter(route_class=TaskRoute, tags=["Infinity"], dependencies=[TIMED])


class ClassifyBody(Truncation):
    """Texts to be classified."""

    input: Items[Text] = Field(examples=[["What a wonderful film!"]])
    raw_scores: bool | None = Field(default=False, description="logits instead of probabilities")


class ClassifyAnswer(Answer):
    """The labels of each text, best first."""

    object: Literal["classify"]
    data: list[list[Prediction]]
    model: str
    usage: TokenUsage


@router.post(
    "/embeddings", summary="Embed texts", response_model=EmbeddingsAnswer, responses=TASK_ERRORS
)
async def embeddings_of_infinity(body: EmbeddingsBody, call: Call) -> Response:
    """Embeds each text as `/v1/embeddings` does; its errors are those of `/embed`."""
    return await embeddings(body, call)


@router.post(
    "/classify", summary="Classify texts", response_model=ClassifyAnswer, responses=TASK_ERRORS
)
async def classify(body: ClassifyBody, call: Call) -> Response:
    """Scores every label of each text, best first; `x-truncated` lists texts that were cut."""
    options = PredictOptions("none" if body.raw_scores else None, cut=body.cut)

    def shape(predicted: Answered[LabelsByText]) -> object:
        tokens = predicted.usage.tokens
        return {
            "object": "classify",
            "data": [[label._asdict() for label in labels] for labels in predicted.value],
            "model": call.context.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    pairs = [(text, None) for text in body.input]
    return await call.run(TEXT_CLASSIFICATION, pairs, options, shape, many=True, field="input")
