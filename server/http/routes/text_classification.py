"""`POST /text-classification`: texts or pairs in, a list of labels for each out, also for one.

It is `/predict` in the shape of Hugging Face's pipelines, which their clients read.
"""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routes.predict import Prediction, PredictParameters
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import DirectedTruncation, TextsOrPairs, texts_and_pairs
from server.inference.pipeline import Answered
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    LabelsByText,
    PredictOptions,
)

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class TextClassificationBody(DirectedTruncation):
    """A text, a pair, or a list of either."""

    inputs: TextsOrPairs = Field(examples=["What a wonderful film!"])
    parameters: PredictParameters | None = None


@router.post(
    "/text-classification",
    summary="Classify texts",
    response_model=list[list[Prediction]],
    responses=TASK_ERRORS,
)
async def text_classification(body: TextClassificationBody, call: Call) -> Response:
    """Scores every label of each text, best first; `x-truncated` lists texts that were cut."""
    parameters = body.parameters or PredictParameters()
    options = PredictOptions(parameters.function_to_apply, parameters.top_k, body.cut)
    inputs, many = texts_and_pairs(body.inputs)

    def shape(predicted: Answered[LabelsByText]) -> object:
        return [[label._asdict() for label in labels] for labels in predicted.value]

    return await call.run(TEXT_CLASSIFICATION, inputs, options, shape, many=many)
