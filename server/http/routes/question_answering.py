"""`POST /question-answering`: a question and a text in, the passage that answers it out.

The shape is Hugging Face's. A question answers one passage, or a list of them if `top_k` is above
1; a list of questions one such answer each.
"""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    Answer,
    AtLeast0,
    AtLeast1,
    Body,
    Items,
    Part,
    Text,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.question_answering import (
    QUESTION_ANSWERING,
    USUAL_ANSWER,
    USUAL_OVERLAP,
    USUAL_TOKENS,
    AnswerOptions,
    FoundByQuestion,
    Question,
)

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class QuestionInContext(Part):
    """A question, and the text in which its answer stands."""

    question: Text
    context: Text


def _shape(value: object) -> str | None:
    if isinstance(value, dict):
        return "<question>"
    return "<questions>" if isinstance(value, list) else None


Questions = Annotated[
    Annotated[QuestionInContext, tag("question")]
    | Annotated[Items[QuestionInContext], tag("questions")],
    Discriminator(_shape, **shape_error('{"question", "context"} or a list of such objects')),
]


class QuestionAnsweringParameters(Part):
    """How to answer; null stands for the default."""

    top_k: AtLeast1 | None = Field(1, description="answers per question")
    max_answer_len: AtLeast1 | None = Field(USUAL_ANSWER, description="most tokens of an answer")
    max_seq_len: AtLeast1 | None = Field(
        None,
        description="most tokens of the question with a part of the context; "
        f"{USUAL_TOKENS} if absent and the model can read as many",
    )
    doc_stride: AtLeast0 | None = Field(
        None,
        description="tokens that the parts of a long context share; "
        f"{USUAL_OVERLAP} if absent, or half a part",
    )
    max_question_len: AtLeast1 | None = Field(None, description="cut a question of more tokens")
    handle_impossible_answer: bool | None = Field(
        default=False, description="answer with an empty passage if that is likelier than any"
    )
    align_to_words: bool | None = Field(
        default=True, description="widen answers to whole words, as languages with spaces want"
    )


class QuestionAnsweringBody(Body):
    """Questions with the texts that answer them."""

    inputs: Questions = Field(
        examples=[{"question": "Where does Clara live?", "context": "Clara lives in Berkeley."}]
    )
    parameters: QuestionAnsweringParameters | None = None


class FoundAnswer(Answer):
    """One passage."""

    score: float = Field(description="probability of its start times that of its end")
    start: int = Field(description="where it begins in the context, in code points")
    end: int
    answer: str


ForOneQuestion = FoundAnswer | list[FoundAnswer]


@router.post(
    "/question-answering",
    summary="Answer questions",
    response_model=ForOneQuestion | list[ForOneQuestion],
    responses=TASK_ERRORS,
)
async def question_answering(body: QuestionAnsweringBody, call: Call) -> Response:
    """Finds the passage that answers each question; long contexts are read in parts."""
    many = isinstance(body.inputs, list)
    asked = body.inputs if isinstance(body.inputs, list) else [body.inputs]
    questions = [Question(one.question, one.context) for one in asked]
    options = _options(body.parameters or QuestionAnsweringParameters())

    def shape(found: Answered[FoundByQuestion]) -> object:
        answers = [[one._asdict() for one in answers] for answers in found.value]
        shown = answers if options.top_k > 1 else [best for (best,) in answers]
        return shown if many else shown[0]

    return await call.run(QUESTION_ANSWERING, questions, options, shape, many=many)


def _options(parameters: QuestionAnsweringParameters) -> AnswerOptions:
    return AnswerOptions(
        top_k=parameters.top_k or 1,
        max_answer_tokens=parameters.max_answer_len or USUAL_ANSWER,
        max_tokens=parameters.max_seq_len,
        overlap=parameters.doc_stride,
        max_question_tokens=parameters.max_question_len,
        may_be_unanswerable=bool(parameters.handle_impossible_answer),
        whole_words=parameters.align_to_words is not False,
    )
