"""`POST /v1/rerank` and `/v2/rerank`: what clients of Cohere and Jina send, and what they read."""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routes.rerank import (
    QUERY,
    Documents,
    RankedDocuments,
    Ranking,
    answer_documents,
)
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Text, TruncateEnd
from server.inference.tasks.pairs import Cut

router = APIRouter(route_class=TaskRoute, tags=["Cohere and Jina"], dependencies=[TIMED])


class RerankDocumentsBody(Ranking):
    """A query and documents; long documents are cut, as Cohere and Jina do it."""

    query: Text = QUERY
    documents: Documents = Field(examples=[["Clara lives in Berkeley.", "Omar lives in Oslo."]])
    truncate: TruncateEnd = Field(
        default=True, description="cut what is too long, of a pair the longer text"
    )


@router.post(
    "/v1/rerank",
    summary="Rerank documents",
    response_model=RankedDocuments,
    responses=TASK_ERRORS,
)
async def rerank_documents(body: RerankDocumentsBody, call: Call) -> Response:
    """Orders documents by their relevance to a query; `x-truncated` lists those that were cut."""
    return await _ranked(body, call)


@router.post(
    "/v2/rerank",
    summary="Rerank documents",
    response_model=RankedDocuments,
    responses=TASK_ERRORS,
)
async def rerank_documents_v2(body: RerankDocumentsBody, call: Call) -> Response:
    """Orders documents by their relevance to a query; `x-truncated` lists those that were cut."""
    return await _ranked(body, call)


async def _ranked(body: RerankDocumentsBody, call: Call) -> Response:
    cut = Cut(truncate=body.truncate is None or bool(body.truncate))
    returned = bool(body.return_documents)
    return await answer_documents(call, body.query, body.documents, body, cut, returned=returned)
