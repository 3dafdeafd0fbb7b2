"""`POST /predict`: texts or pairs in, their labels with scores out.

The shape is that of text-embeddings-inference (TEI): `"a"` or `["a"]` is a text, `["a", "b"]` one
pair, and a list of lists several of either. Hugging Face's client sends a text beside `parameters`
and reads a list of lists; so a body with `parameters` is answered as that client expects.
"""

from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import AfterValidator, Discriminator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from server.errors import InvalidParameter
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    CUT,
    Answer,
    AnyCase,
    AtLeast1,
    DirectedTruncation,
    Items,
    Pair,
    Part,
    Text,
    Truncate,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.pairs import TextOrPair
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    Function,
    LabelsByText,
    PredictOptions,
)

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


def _one_or_two(texts: list[str]) -> list[str]:
    if len(texts) > 2:
        raise PydanticCustomError(
            "out_of_range",
            'should be one text or one pair; several are a list of lists: [["a"], ["b"]]',
        )
    return texts


def _one_shape(value: object) -> str | None:
    if isinstance(value, dict):
        return "<pair>"
    return "<strings>" if isinstance(value, list) else None


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    if isinstance(value, list) and value and not isinstance(value[0], str):
        return "<several>"
    return "<one>" if isinstance(value, (list, dict)) else None


_EXPECTED: Final = 'a list of one or two strings, or {"text", "text_pair"}'
OneInput = Annotated[
    Annotated[Pair, tag("pair")]
    | Annotated[
        Items[Text],
        Field(json_schema_extra={"maxItems": 2}),
        AfterValidator(_one_or_two),
        tag("strings"),
    ],
    Discriminator(_one_shape, **shape_error(_EXPECTED)),
]
Inputs = Annotated[
    Annotated[Text, tag("text")]
    | Annotated[OneInput, tag("one")]
    | Annotated[Items[OneInput], tag("several")],
    Discriminator(_shape, **shape_error(f"a string, {_EXPECTED}, or a list of the latter two")),
]


class PredictParameters(Part):
    """What Hugging Face's clients may ask; null stands for the default."""

    top_k: AtLeast1 | None = Field(None, description="labels per text; all if absent")
    function_to_apply: Annotated[Function, AnyCase] | None = Field(
        None, description="logits to scores; what the model was trained for if absent"
    )


class PredictBody(DirectedTruncation):
    """A text, a pair, or a list of either."""

    inputs: Inputs = Field(examples=["What a wonderful film!"])
    raw_scores: bool | None = Field(default=False, description="logits instead of probabilities")
    truncate: Truncate = Field(None, description=f"{CUT}; of a pair the longer text")
    parameters: PredictParameters | None = Field(
        None, description="if present, the answer is a list of lists also for one text"
    )


class Prediction(Answer):
    """One label of one text."""

    score: float = Field(description="probability, or the logit for raw_scores")
    label: str


@router.post(
    "/predict",
    summary="Classify texts",
    response_model=list[Prediction] | list[list[Prediction]],
    responses=TASK_ERRORS,
)
async def predict(body: PredictBody, call: Call) -> Response:
    """Scores every label of each text, best first; `x-truncated` lists texts that were cut."""
    inputs, many = _as_list(body.inputs)
    nested = many or body.parameters is not None

    def shape(predicted: Answered[LabelsByText]) -> object:
        answers = [[label._asdict() for label in labels] for labels in predicted.value]
        return answers if nested else answers[0]

    return await call.run(TEXT_CLASSIFICATION, inputs, _options(body), shape, many=many)


def _options(body: PredictBody) -> PredictOptions:
    parameters = body.parameters or PredictParameters()
    flat_pair = isinstance(body.inputs, list) and [type(one) for one in body.inputs] == [str, str]
    if flat_pair and body.parameters is not None:
        raise InvalidParameter(
            'With parameters, ["a", "b"] could be two texts or one pair; send [["a"], ["b"]] or '
            '[["a", "b"]].',
            param="inputs",
        )
    return PredictOptions(
        function=parameters.function_to_apply or ("none" if body.raw_scores else None),
        top_k=parameters.top_k,
        cut=body.cut,
    )


def _as_list(
    inputs: str | Pair | list[str] | Sequence[Pair | list[str]],
) -> tuple[list[TextOrPair], bool]:
    """Returns texts and pairs as a list, and whether the client sent one.

    >>> _as_list("a"), _as_list(["a", "b"]), _as_list([["a"], ["a", "b"]])
    (([('a', None)], False), ([('a', 'b')], False), ([('a', None), ('a', 'b')], True))
    """
    if isinstance(inputs, str):
        return [(inputs, None)], False
    if isinstance(inputs, Pair):
        return [(inputs.text, inputs.text_pair)], False
    texts = [one for one in inputs if isinstance(one, str)]
    if texts:
        return [_text_or_pair(texts)], False
    return [_text_or_pair(one) for one in inputs if not isinstance(one, str)], True


def _text_or_pair(one: Pair | Sequence[str]) -> TextOrPair:
    if isinstance(one, Pair):
        return one.text, one.text_pair
    return one[0], one[1] if len(one) > 1 else None
