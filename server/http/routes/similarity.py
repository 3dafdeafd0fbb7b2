"""`POST /similarity`: a sentence and others in, how near each of them is out.

The shape is that of text-embeddings-inference (TEI) and of Hugging Face's clients.
"""

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import CUT, CUT_END, Body, End, Items, Part, Text, Truncate, cut_as_asked
from server.inference.tasks.embed import EmbedOptions
from server.inference.tasks.similarity import SIMILARITY, SimilarityOptions

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class Sentences(Part):
    """What is compared with what."""

    source_sentence: Text = Field(examples=["A river runs through it."])
    sentences: Items[Text] = Field(examples=[["A stream crosses the valley.", "Bread and butter."]])


class SimilarityParameters(Part):
    """How the sentences are embedded."""

    truncate: Truncate = Field(None, description=CUT)
    truncation_direction: End = Field(None, description=CUT_END)
    prompt_name: str | None = Field(None, description="a prompt of the model to put in front")


class SimilarityBody(Body):
    """A sentence and others."""

    inputs: Sentences = Field(
        examples=[
            {
                "source_sentence": "A river runs through it.",
                "sentences": ["A stream crosses the valley.", "Bread and butter."],
            }
        ]
    )
    parameters: SimilarityParameters | None = None


@router.post(
    "/similarity", summary="Compare sentences", response_model=list[float], responses=TASK_ERRORS
)
async def similarity(body: SimilarityBody, call: Call) -> Response:
    """Answers the cosine of each sentence's vector with that of the source sentence."""
    asked = body.parameters or SimilarityParameters()
    options = SimilarityOptions(
        body.inputs.source_sentence,
        EmbedOptions(
            cut_as_asked(asked.truncate, asked.truncation_direction), prompt_name=asked.prompt_name
        ),
    )
    return await call.run(
        SIMILARITY,
        body.inputs.sentences,
        options,
        lambda compared: compared.value,
        many=True,
        field="inputs.sentences",
    )
