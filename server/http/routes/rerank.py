"""`POST /rerank`: a query and documents in, their places and scores out, the best first.

`texts` are answered as text-embeddings-inference (TEI) does, and `documents` as Cohere, Jina and
Infinity do; `server.http.routes.cohere` has their own paths.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from fastapi import APIRouter
from pydantic import BeforeValidator, ConfigDict, Discriminator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from server.errors import WrongType
from server.http.routes.openai import TokenUsage
from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import (
    CUT,
    MAX_FIELDS,
    Answer,
    AtLeast1,
    Body,
    DirectedTruncation,
    Items,
    Text,
    Truncate,
    Whole,
    shape_error,
    tag,
)
from server.inference.pipeline import Answered
from server.inference.tasks.pairs import Cut
from server.inference.tasks.rerank import RERANK, Rank, RerankOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])

TEXT: Final = "text"  # the field of an object that is read if none is named
_FIELD_CHARACTERS: Final = 32  # of a field of an answered object, beside its name and value

Value = str | bool | Whole | float | None
Document = str | dict[str, Value]


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<object>" if isinstance(value, dict) else None


def _plain_fields(value: object) -> object:
    """Few fields and no objects in them, told as one mistake instead of one for each."""
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise PydanticCustomError("too_many_fields", "has too many fields")
    if isinstance(value, dict) and any(isinstance(own, dict | list) for own in value.values()):
        raise PydanticCustomError(
            "shape", "should hold strings, numbers, true, false and null and nothing else"
        )
    return value


Documents = Items[
    Annotated[
        Annotated[Text, tag("text")]
        | Annotated[dict[str, Value], BeforeValidator(_plain_fields), tag("object")],
        Discriminator(_shape, **shape_error('a string or an object such as {"text": "…"}')),
    ]
]
QUERY: Final = Field(examples=["Where does Clara live?"])


class Ranking(Body):
    """What Cohere's, Jina's and Infinity's clients ask besides the documents."""

    top_n: AtLeast1 | None = Field(None, description="documents that are answered; all if absent")
    return_documents: bool | None = Field(default=False, description="repeat each document")
    rank_fields: Items[str] | None = Field(
        None, description='of objects, the fields that are read, in order; "text" if absent'
    )
    max_tokens_per_doc: AtLeast1 | None = Field(
        None, description="tokens that are read of each document; as many as fit if absent"
    )
    raw_scores: bool | None = Field(default=False, description="logits instead of their meaning")
    label: str | None = Field(None, description="the label to rank by, of a model that has several")


class RerankBody(Ranking, DirectedTruncation):
    """A query, and either `texts` or `documents`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "query": "Where does Clara live?",
                    "texts": ["Clara lives in Berkeley.", "Omar lives in Oslo."],
                }
            ]
        }
    )
    query: Text = QUERY
    texts: Items[Text] | None = Field(
        None,
        description="documents as TEI has them",
        examples=[["Clara lives in Berkeley.", "Omar lives in Oslo."]],
    )
    documents: Documents | None = Field(
        None, description="documents as Cohere has them: strings or objects"
    )
    truncate: Truncate = Field(None, description=f"{CUT}, of a pair the longer text")
    return_text: bool | None = Field(default=False, description="repeat each text")


class Ranked(Answer):
    """One text."""

    index: int = Field(description="its place among `texts`")
    score: float
    text: str | None = Field(None, description="if `return_text` is true")


class RankedDocument(Answer):
    """One document."""

    index: int = Field(description="its place among `documents`")
    relevance_score: float = Field(description="from 0 to 1; the logit for raw_scores")
    document: Document | None = Field(
        None,
        description="if `return_documents` is true: an object, but a string that was sent to "
        "`/rerank`",
    )


class RankedDocuments(Answer):
    """Documents, the best first, in a shape that Cohere's, Jina's and Infinity's clients read."""

    object: str
    model: str
    results: list[RankedDocument]
    meta: dict[str, dict[str, str | int]] = Field(description="of Cohere's clients")
    usage: TokenUsage


@router.post(
    "/rerank",
    summary="Rerank documents",
    response_model=list[Ranked] | RankedDocuments,
    responses=TASK_ERRORS,
)
async def rerank(body: RerankBody, call: Call) -> Response:
    """Orders documents by their relevance to a query; `x-truncated` lists those that were cut."""
    if (body.texts is None) == (body.documents is None):
        raise WrongType("Send the documents in one of `texts` and `documents`.", param="texts")
    returned = bool(body.return_text or body.return_documents)
    if body.documents is not None:
        return await answer_documents(
            call, body.query, body.documents, body, body.cut, returned=returned, as_sent=True
        )
    texts = body.texts or []
    options = RerankOptions(
        body.query,
        body.cut,
        raw_scores=bool(body.raw_scores),
        label=body.label,
        top_n=body.top_n,
        document_tokens=body.max_tokens_per_doc,
        shown=sum(map(len, texts)) if returned else 0,
    )

    def shape(ranked: Answered[list[Rank]]) -> object:
        if not returned:
            return [{"index": rank.place, "score": rank.score} for rank in ranked.value]
        return [
            {"index": rank.place, "text": texts[rank.place], "score": rank.score}
            for rank in ranked.value
        ]

    return await call.run(RERANK, texts, options, shape, many=True, field="texts")


async def answer_documents(
    call: Call,
    query: str,
    documents: Sequence[Document],
    asked: Ranking,
    cut: Cut,
    *,
    returned: bool,
    as_sent: bool = False,
) -> Response:
    """Orders documents and answers as Cohere's, Jina's and Infinity's clients read it.

    Those of Cohere and Jina read documents as objects, those of Infinity as they sent them.
    """
    texts = [_text(one, asked.rank_fields, index) for index, one in enumerate(documents)]
    options = RerankOptions(
        query,
        cut,
        raw_scores=bool(asked.raw_scores),
        bounded=True,
        label=asked.label,
        top_n=asked.top_n,
        document_tokens=asked.max_tokens_per_doc,
        shown=sum(map(_characters, documents)) if returned else 0,
    )

    def document(rank: Rank) -> dict[str, object]:
        if not returned:
            return {}
        one = documents[rank.place]
        return {"document": {TEXT: one} if isinstance(one, str) and not as_sent else one}

    def shape(ranked: Answered[list[Rank]]) -> object:
        tokens = ranked.usage.tokens
        return {
            "object": "rerank",
            "model": call.context.model,
            "results": [
                {"index": rank.place, "relevance_score": rank.score, **document(rank)}
                for rank in ranked.value
            ],
            "meta": {
                "api_version": {"version": "2"},
                "billed_units": {"search_units": 1, "total_tokens": tokens},
                "tokens": {"input_tokens": tokens, "output_tokens": 0},
            },
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    return await call.run(RERANK, texts, options, shape, many=True, field="documents")


def _text(document: Document, fields: Sequence[str] | None, index: int) -> str:
    r"""What is read of a document: itself, or its fields in order, as Cohere reads them.

    >>> _text({"title": "Oslo", "year": 1048, "text": "A town."}, ["title", "text"], 0)
    'Oslo\nA town.'
    """
    if isinstance(document, str):
        return document
    wanted = [TEXT] if fields is None else fields
    found = [str(document[name]) for name in wanted if document.get(name) is not None]
    if not found:
        named = f"the field {TEXT!r}" if fields is None else "any of rank_fields"
        raise WrongType(f"The document lacks {named}.", param=f"documents[{index}]")
    return "\n".join(found)


def _characters(document: Document) -> int:
    """About how many characters a document takes in an answer."""
    fields: Mapping[str, Value] = {TEXT: document} if isinstance(document, str) else document
    return sum([len(name) + len(str(value)) + _FIELD_CHARACTERS for name, value in fields.items()])
