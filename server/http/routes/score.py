"""`POST /score`: texts in, how likely the model finds each of them out, token by token."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import CUT, Answer, AnyCase, Body, Part, Texts, TruncateEnd
from server.inference.pipeline import Answered
from server.inference.tasks.score import SCORE, Score, ScoreOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class ScoreParameters(Part):
    """How to score; null stands for the default."""

    pll_metric: Annotated[Literal["original", "within_word_l2r"], AnyCase] | None = Field(
        "original",
        description="what is hidden from a token: itself, or also the pieces of its word behind it",
    )
    return_tokens: bool | None = Field(default=True, description="list every token's part of it")
    truncate: TruncateEnd = Field(None, description=f"{CUT}: its beginning is scored")


_DEFAULTS: Final = ScoreParameters()


class ScoreBody(Body):
    """Texts whose likelihood is wanted."""

    inputs: Texts = Field(examples=["The keys to the cabinet are on the table."])
    parameters: ScoreParameters | None = None


class TokenScore(Answer):
    """One token."""

    id: int
    token: str = Field(description="as it stands in the vocabulary")
    start: int | None = Field(description="first character covered, in code points of the text")
    stop: int | None = Field(description="end of what it covers")
    word: int = Field(description="number of the word that it belongs to")
    log_probability: float = Field(description="natural logarithm, given what was not hidden")


class TextScore(Answer):
    """One text."""

    score: float = Field(description="pseudo-log-likelihood: the sum over its tokens")
    token_count: int = Field(description="tokens that were scored; special tokens never are")
    pseudo_perplexity: float = Field(description="exp(-score / token_count)")
    tokens: list[TokenScore] | None = Field(None, description="unless return_tokens is false")


@router.post(
    "/score",
    summary="Score texts",
    response_model=TextScore | list[TextScore],
    responses=TASK_ERRORS,
)
async def score(body: ScoreBody, call: Call) -> Response:
    """Tells how likely each text is to the model; a copy of the text is computed for each token."""
    parameters = body.parameters or _DEFAULTS
    many = isinstance(body.inputs, list)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    options = ScoreOptions(parameters.pll_metric or "original", bool(parameters.truncate))
    listed = parameters.return_tokens is not False

    def shape(scored: Answered[list[Score]]) -> object:
        answers = [_of_text(one, listed=listed) for one in scored.value]
        return answers if many else answers[0]

    return await call.run(SCORE, texts, options, shape, many=many)


def _of_text(scored: Score, *, listed: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "score": scored.log_probability,
        "token_count": len(scored.tokens),
        "pseudo_perplexity": scored.pseudo_perplexity,
    }
    return answer | {"tokens": [one._asdict() for one in scored.tokens]} if listed else answer
