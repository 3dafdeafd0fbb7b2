"""`/v2`: the Open Inference Protocol, which Triton's and KServe's clients speak.

A model has named inputs, tensors of BYTES that are texts, and named outputs; which of its tasks
runs is said by them. Tensors come and go as JSON or, as Triton's client does it, as bytes behind.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from server import __version__
from server.errors import InvalidParameter, WrongType
from server.http.routes.probes import livez, readyz
from server.http.routing import (
    NAMED,
    TASK_ERRORS,
    TIMED,
    Call,
    TaskRoute,
    errors,
    json_response,
)
from server.http.schemas import Answer, AnyItems, AtLeast0, Body, Items, Part
from server.http.tensor_tasks import (
    InferParameters,
    Spec,
    inputs_of,
    meant,
    outputs_of,
)
from server.http.tensors import BINARY_TYPE, LENGTH_HEADER, read_body, texts_of, written
from server.inference.pipeline import Answered

VERSION: Final = "1"
MAX_SIZES: Final = 32  # of a shape: the product of a million long ones takes minutes
_OF_MODEL: Final = "/v2/models/{model}"
_OF_VERSION: Final = f"{_OF_MODEL}/versions/{VERSION}"


class TensorRoute(TaskRoute):
    """A route whose body may be JSON with bytes behind it."""

    media_types = frozenset({BINARY_TYPE.encode()})

    def values(self, call: Call, raw: bytes) -> object:
        """The body's values, tensors that came as bytes included."""
        return read_body(raw, call.headers.get(LENGTH_HEADER))


router = APIRouter(route_class=TensorRoute, tags=["Open Inference Protocol"])


class InputParameters(Part):
    """Where an input's data is, if it is not in the JSON."""

    binary_data_size: AtLeast0 | None = Field(None, description="bytes of it behind the JSON")
    binary_data: bool | None = Field(None, description="accepted and ignored")


class InputTensor(Part):
    """Texts by name; those of one request all have as many."""

    name: str = Field(description="such as text; the model's description lists them")
    shape: Annotated[AnyItems[AtLeast0], Field(max_length=MAX_SIZES)] = Field(
        description="sizes, whose product is the number of texts"
    )
    datatype: str = Field(description="BYTES")
    parameters: InputParameters | None = None
    data: AnyItems[Any] | SkipJsonSchema[bytes] | None = Field(
        None, description="the texts, in lists within lists or in one; absent if they follow"
    )


class OutputParameters(Part):
    """How to send an output."""

    binary_data: bool | None = Field(None, description="as bytes behind the JSON")


class RequestedOutput(Part):
    """An output that is wanted."""

    name: str
    parameters: OutputParameters | None = None


class InferBody(Body):
    """Named tensors, and which outputs are wanted of them."""

    inputs: Items[InputTensor] = Field(
        examples=[
            [
                {
                    "name": "text",
                    "shape": [1],
                    "datatype": "BYTES",
                    "data": ["Paris is the [MASK] of France."],
                }
            ]
        ]
    )
    outputs: AnyItems[RequestedOutput] | None = Field(
        None, description="all of the model's own task if absent"
    )
    id: str | None = Field(None, description="given back")
    parameters: InferParameters | None = None


class TensorMetadata(Answer):
    """A named tensor; a size of -1 is settled by each request."""

    name: str
    datatype: Literal["BYTES", "FP32", "INT64"]
    shape: list[int]


class ServerMetadata(Answer):
    """What this server is."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(Answer):
    """What a model reads and gives; a task is named by its outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class LiveAnswer(Answer):
    """All is well; anything else is a 503."""

    live: Literal[True]


class ReadyAnswer(Answer):
    """All is well; anything else is a 503."""

    ready: Literal[True]


class ModelReadyAnswer(ReadyAnswer):
    """The model answers; anything else is a 404 or a 503."""

    name: str


class OutputTensor(TensorMetadata):
    """An output's values, or how many bytes of them follow the JSON."""

    parameters: dict[str, int] | None = Field(None, description="binary_data_size of what follows")
    data: list[float] | list[int] | list[str] | None = Field(None, description="in row-major order")


class InferAnswer(Answer):
    """Named tensors."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="of the request, if it had one")
    outputs: list[OutputTensor]


@router.get("/v2", response_model=ServerMetadata, responses=errors(500))
async def server_metadata(call: Call) -> Response:
    """Describes the server."""
    extensions = ["binary_tensor_data"]
    name = call.app.title.lower()
    return json_response({"name": name, "version": __version__, "extensions": extensions})


@router.get("/v2/health/live", response_model=LiveAnswer, responses=errors(503))
async def live(call: Call) -> Response:
    """The same as `/livez`."""
    await livez(call)
    return json_response({"live": True})


@router.get("/v2/health/ready", response_model=ReadyAnswer, responses=errors(503))
async def ready(call: Call) -> Response:
    """The same as `/readyz`."""
    await readyz(call)
    return json_response({"ready": True})


@router.get(_OF_VERSION, include_in_schema=False)
@router.get(
    _OF_MODEL, response_model=ModelMetadata, responses=errors(404, 500, 503), dependencies=[NAMED]
)
async def model_metadata(call: Call) -> Response:
    """Describes a model's tensors."""
    manifest = call.pipeline().manifest
    return json_response(
        {
            "name": call.context.model,
            "versions": [VERSION],
            "platform": "cloze",
            "inputs": _described(inputs_of(manifest)),
            "outputs": _described(outputs_of(manifest)),
        }
    )


def _described(tensors: Sequence[Spec]) -> list[dict[str, object]]:
    return [{**tensor._asdict(), "shape": list(tensor.shape)} for tensor in tensors]


@router.get(f"{_OF_VERSION}/ready", include_in_schema=False)
@router.get(
    f"{_OF_MODEL}/ready",
    response_model=ModelReadyAnswer,
    responses=errors(404, 500, 503),
    dependencies=[NAMED],
)
async def model_ready(call: Call) -> Response:
    """Succeeds while requests for the model should be sent here."""
    call.pipeline()
    await readyz(call)
    return json_response({"name": call.context.model, "ready": True})


@router.post(f"{_OF_VERSION}/infer", include_in_schema=False)
@router.post(
    f"{_OF_MODEL}/infer",
    summary="Run a model on tensors",
    response_model=InferAnswer,
    responses=TASK_ERRORS,
    dependencies=[TIMED, NAMED],
)
async def infer(body: InferBody, call: Call) -> Response:
    """Runs the task that has these inputs and outputs; outputs come as JSON or as bytes behind."""
    pipeline, parameters = call.pipeline(), body.parameters or InferParameters()
    names = [tensor.name for tensor in body.inputs]
    asked = {output.name: output.parameters for output in body.outputs or ()}
    as_tensors = meant(pipeline.manifest, names, asked)
    as_tensors.require_parameters(parameters)
    inputs = as_tensors.read(_texts(body.inputs, pipeline.model.limits.max_inputs))
    behind: list[bytes] = []

    def shape(answer: Answered[Any]) -> object:
        tensors = as_tensors.tensors(answer.value)
        wanted = {name: tensors[name] for name in asked or tensors}
        binary = {
            name: _is_binary(own, parameters)
            for name, own in (asked or dict.fromkeys(tensors)).items()
        }
        outputs, bytes_ = written(wanted, binary)
        if any(binary.values()):
            behind.append(bytes_)
        named = {"model_name": call.context.model, "model_version": VERSION}
        return named | ({} if body.id is None else {"id": body.id}) | {"outputs": outputs}

    options = as_tensors.options(parameters)
    answer = await call.run(
        as_tensors.task, inputs, options, shape, many=True, field="inputs[0].data"
    )
    return _with_bytes(answer, behind[0]) if behind else answer


def _is_binary(own: OutputParameters | None, usual: InferParameters) -> bool:
    said = None if own is None else own.binary_data
    return bool(usual.binary_data_output if said is None else said)


def _texts(tensors: Sequence[InputTensor], most: int) -> dict[str, list[str]]:
    """The texts of each input by its name.

    Raises:
        ClozeError: a tensor is not of texts, or they are not as many of each.
    """
    found: dict[str, list[str]] = {}
    for number, tensor in enumerate(tensors):
        param = f"inputs[{number}]"
        if tensor.datatype != "BYTES":
            raise InvalidParameter(
                f"{param} should be of datatype BYTES, as texts are.", param=f"{param}.datatype"
            )
        if tensor.data is None:
            raise WrongType(
                f"{param} has no data; send it as data, or behind the JSON with its "
                "parameters.binary_data_size.",
                param=f"{param}.data",
            )
        if tensor.name in found:
            raise InvalidParameter(f"{param} was sent before.", param=f"{param}.name")
        found[tensor.name] = texts_of(tensor.shape, tensor.data, most, param)
    counts = [len(texts) for texts in found.values()]
    if len(set(counts)) > 1:
        raise InvalidParameter(
            f"The inputs should have as many texts each, and have {counts}.", param="inputs"
        )
    return found


def _with_bytes(answer: Response, behind: bytes) -> Response:
    """The answer with tensors' bytes behind its JSON."""
    head = bytes(answer.body)
    headers = {
        name: value for name, value in answer.headers.items() if not name.startswith("content-")
    }
    headers[LENGTH_HEADER] = str(len(head))
    return Response(head + behind, headers=headers, media_type=BINARY_TYPE)
