"""`POST /` and `POST /models/{model}`: a body that names no task in, that of the fitting route out.

Clients of Hugging Face post a model's task to its address alone, and SageMaker to `/invocations`.
What the body holds tells more than the model: a question with its context, a pair, a text with a
mask. Only then comes what the model was made for, the most special of its heads first; every model
embeds.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import WrongType
from server.http.paths import ASKED, route_path
from server.http.routing import NAMED, TASK_ERRORS, TIMED, Call, TaskRoute
from server.inference.model_registry import AnyTask
from server.inference.pipeline import Pipeline
from server.inference.tasks.decoding import DECODING
from server.inference.tasks.embed import EMBED
from server.inference.tasks.fill_mask import FILL_MASK
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.question_answering import QUESTION_ANSWERING
from server.inference.tasks.rerank import RERANK
from server.inference.tasks.similarity import SIMILARITY
from server.inference.tasks.task import supports
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION
from server.inference.tasks.zero_shot import ZERO_SHOT

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])

# What only one route takes: a field of the body, of `inputs` where that is an object or a list of
# such, or of `parameters`, with the task.
BY_FIELD: Final[Mapping[str, AnyTask]] = {"input": EMBED, "query": RERANK, "ids": DECODING}
BY_INPUT: Final[Mapping[str, AnyTask]] = {
    "question": QUESTION_ANSWERING,
    "source_sentence": SIMILARITY,
}
BY_PARAMETER: Final[Mapping[str, AnyTask]] = {"candidate_labels": ZERO_SHOT}
# What a model was made for, the most special first.
BY_HEAD: Final[tuple[AnyTask, ...]] = (TOKEN_CLASSIFICATION, TEXT_CLASSIFICATION)
_BODY: Final = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "description": "what the route that it goes to takes",
            "examples": ["Paris is the [MASK] of France."],
        },
        "parameters": {"type": "object", "description": "so too"},
        "model": {"type": "string", "description": "name or alias of a loaded model"},
    },
}


# FastAPI finds the request by its type. It goes the whole way through it since it is not called
# `call`: the answer is another route's, which the router must be there for.
@router.post(
    "/",
    summary="Do the model's own task",
    response_model=Any,
    responses=TASK_ERRORS,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": _BODY}}}},
)
@router.post(
    "/invocations",
    name="invocations",
    summary="Do the model's own task",
    response_model=Any,
    responses=TASK_ERRORS,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": _BODY}}}},
)
@router.post(
    "/models/{model}",
    summary="Do the model's own task",
    response_model=Any,
    responses=TASK_ERRORS,
    dependencies=[NAMED],
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": _BODY}}}},
)
async def own_task(request: Call) -> Response:
    """Answers as the route does that the body is made for, or that the model is made for."""
    body = await request.json()
    if not isinstance(body, dict):
        raise WrongType("The body: should be a JSON object.")
    context, named = request.context, body.get("model")
    context.named = named if isinstance(named, str) else None
    path = route_of(body, request.pipeline(told_by(body)))
    return _Forwarded(request, f"/models/{context.model}{path}")


def told_by(body: Mapping[str, Any]) -> AnyTask | None:
    """The task that alone takes such a body; None where several do."""
    inputs, parameters = body.get("inputs"), body.get("parameters")
    first = inputs[0] if isinstance(inputs, list) and inputs else inputs
    places = ((body, BY_FIELD), (first, BY_INPUT), (parameters, BY_PARAMETER))
    for place, tasks in places:
        for field, task in tasks.items():
            if isinstance(place, dict) and field in place:
                return task
    return None


def route_of(body: Mapping[str, Any], pipeline: Pipeline) -> str:
    """The path, below the model's, of the route that a body goes to."""
    told = told_by(body)
    if told is not None:
        return "/v1/embeddings" if "input" in body else f"/{told.name}"
    inputs = body.get("inputs")
    several = inputs if isinstance(inputs, list) else [inputs]
    first = several[0] if several else None
    manifest = pipeline.manifest
    for task in BY_HEAD:
        if supports(task, manifest):
            # Who posts one text to the address alone reads Hugging Face's nested answer.
            nested = isinstance(inputs, str) and "raw_scores" not in body
            if task is TEXT_CLASSIFICATION and nested:
                return "/text-classification"
            return f"/{task.name}"
    texts = [text for text in several if isinstance(text, str)]
    mask = manifest.tokenizer.mask
    if supports(FILL_MASK, manifest) and any(mask in text for text in texts):
        return f"/{FILL_MASK.name}"
    pairs = isinstance(first, dict | list) and not _are_ids(first)
    if pairs and supports(NEXT_SENTENCE, manifest):
        return f"/{NEXT_SENTENCE.name}"
    return f"/{EMBED.name}"


def _are_ids(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, int) for one in value)


class _Forwarded(Response):
    """What another route of the application answers to the same request."""

    def __init__(self, call: Call, path: str) -> None:
        super().__init__()
        self._call = call
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Goes through the router once more, with the body from its beginning."""
        raw: bytes | None = await self._call.body()

        async def again() -> Message:
            nonlocal raw
            if raw is None:
                return await receive()
            body, raw = raw, None
            return {"type": "http.request", "body": body, "more_body": False}

        router: ASGIApp = self._call.app.router
        path = scope.get("root_path", "") + self._path
        inner = {**scope, "path": path, ASKED: route_path(scope)}
        await router(inner, again, send)
