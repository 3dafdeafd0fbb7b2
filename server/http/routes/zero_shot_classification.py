"""`POST /zero-shot-classification`: texts and labels in, the labels by how well they fit out.

The shape is that which Hugging Face's clients post and read: one list of labels for a text, and a
list of such lists for several.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from server.http.routes.predict import Prediction
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    CUT,
    DirectedTruncation,
    Items,
    Part,
    Texts,
    Truncate,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.text_classification import LabelsByText
from server.inference.tasks.zero_shot import HYPOTHESIS, ZERO_SHOT, ZeroShotOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return "<one string>"
    return "<labels>" if isinstance(value, list) else None


CandidateLabels = Annotated[
    Annotated[str, tag("one string")] | Annotated[Items[str], tag("labels")],
    Discriminator(_shape, **shape_error("a list of labels, or one string with commas between")),
]


class ZeroShotParameters(Part):
    """The labels, and what is asked about each."""

    candidate_labels: CandidateLabels = Field(
        description="labels that a text may have", examples=[["film", "food", "travel"]]
    )
    hypothesis_template: str | None = Field(
        HYPOTHESIS, description="a sentence about the text, with {} for the label"
    )
    multi_label: bool | None = Field(
        default=False, description="several labels may be true, or none"
    )


class ZeroShotBody(DirectedTruncation):
    """Texts, and labels that the model never learnt."""

    inputs: Texts = Field(examples=["The actor was charming."])
    parameters: ZeroShotParameters = Field(
        examples=[{"candidate_labels": ["film", "food", "travel"]}]
    )
    truncate: Truncate = Field(None, description=f"{CUT}, never the sentence about a text")


@router.post(
    "/zero-shot-classification",
    summary="Classify texts by labels of your own",
    response_model=list[Prediction] | list[list[Prediction]],
    responses=TASK_ERRORS,
)
async def zero_shot_classification(body: ZeroShotBody, call: Call) -> Response:
    """Scores labels by whether a text entails them; `x-truncated` lists texts that were cut."""
    many, asked = isinstance(body.inputs, list), body.parameters
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    options = ZeroShotOptions(
        _labels(asked.candidate_labels),
        HYPOTHESIS if asked.hypothesis_template is None else asked.hypothesis_template,
        several=bool(asked.multi_label),
        cut=body.cut,
    )

    def shape(found: Answered[LabelsByText]) -> object:
        answers = [[label._asdict() for label in labels] for labels in found.value]
        return answers if many else answers[0]

    return await call.run(ZERO_SHOT, texts, options, shape, many=many)


def _labels(labels: str | list[str]) -> list[str]:
    """Labels as a list, as transformers reads them.

    >>> _labels("film, food,, new york"), _labels(["a, b"])
    (['film', 'food', 'new york'], ['a, b'])
    """
    if isinstance(labels, list):
        return labels
    return [label.strip() for label in labels.split(",") if label.strip()]
