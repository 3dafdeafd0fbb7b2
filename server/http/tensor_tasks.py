"""Each task as tensors: what it reads, what it gives, and how its answer becomes that.

The Open Inference Protocol knows no tasks: a model has named inputs and outputs. A request's
outputs, or else its inputs, say which of the model's tasks it means.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np
import orjson
from pydantic import Field

from models.manifest import ModelManifest
from server.errors import InvalidParameter, MissingHead
from server.http.schemas import CUT, AtLeast1, Part, TruncateEnd
from server.http.tensors import Tensor
from server.inference.tasks.embed import EMBED, EmbedOptions, Vectors
from server.inference.tasks.fill_mask import FILL_MASK, Filled, FillMaskOptions
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.pairs import Cut, TextOrPair
from server.inference.tasks.question_answering import (
    QUESTION_ANSWERING,
    AnswerOptions,
    FoundByQuestion,
    Question,
)
from server.inference.tasks.task import Task, supports
from server.inference.tasks.text_classification import (
    TEXT_CLASSIFICATION,
    LabelsByText,
    PredictOptions,
)
from server.inference.tasks.token_classification import (
    TOKEN_CLASSIFICATION,
    EntitiesByText,
    EntityOptions,
)

In = TypeVar("In")
Options = TypeVar("Options")
Out = TypeVar("Out")
Tensors = dict[str, Tensor]

ANY: Final = -1  # a size of a shape that each request settles


class InferParameters(Part):
    """How to do it; null stands for the task's default."""

    truncate: TruncateEnd = Field(None, description=CUT)
    top_k: AtLeast1 | None = Field(None, description="labels per text, or candidates per mask")
    normalize: bool | None = Field(None, description="of embeddings: to length 1, or not")
    dimensions: AtLeast1 | None = Field(None, description="of embeddings: keep the first so many")
    prompt_name: str | None = Field(None, description="of embeddings: what to put in front")
    binary_data_output: bool | None = Field(
        None, description="send outputs that do not say it themselves as bytes behind the JSON"
    )


class Spec(NamedTuple):
    """A tensor as a model's description has it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class TensorTask(Generic[In, Options, Out]):
    """A task, its named inputs, all of them texts, and its named outputs."""

    task: Task[In, Options, Out]
    required: tuple[str, ...]
    outputs: Callable[[ModelManifest], Sequence[Spec]]
    read: Callable[[Mapping[str, Sequence[str]]], list[In]]
    """Texts by input -> what the task takes."""
    options: Callable[[InferParameters], Options]
    tensors: Callable[[Out], Tensors]
    optional: tuple[str, ...] = ()
    parameters: frozenset[str] = field(default_factory=frozenset)
    """What is understood beside `truncate`."""

    def output_names(self, manifest: ModelManifest) -> list[str]:
        """What it gives."""
        return [spec.name for spec in self.outputs(manifest)]

    def takes(self, inputs: Collection[str]) -> bool:
        """Whether these are its inputs."""
        return set(self.required) <= set(inputs) <= {*self.required, *self.optional}

    def require_parameters(self, parameters: InferParameters) -> None:
        """Raise `InvalidParameter` for one that another task has."""
        understood = {*self.parameters, "truncate", "binary_data_output"}
        for name in sorted(parameters.model_fields_set - understood):
            if getattr(parameters, name) is not None:
                raise InvalidParameter(
                    f"{name} says nothing to the task {self.task.name}.", param=f"parameters.{name}"
                )


def tasks_of(manifest: ModelManifest) -> list[TensorTask[Any, Any, Any]]:
    """What the model can do, what it was trained for first."""
    return [one for one in TENSOR_TASKS if supports(one.task, manifest)]


def inputs_of(manifest: ModelManifest) -> list[Spec]:
    """Every input of any of the model's tasks."""
    named = [name for one in tasks_of(manifest) for name in (*one.required, *one.optional)]
    return [Spec(name, "BYTES", (ANY,)) for name in dict.fromkeys(named)]


def outputs_of(manifest: ModelManifest) -> list[Spec]:
    """Every output of any of the model's tasks."""
    return [spec for one in tasks_of(manifest) for spec in one.outputs(manifest)]


def meant(
    manifest: ModelManifest, inputs: Collection[str], outputs: Collection[str]
) -> TensorTask[Any, Any, Any]:
    """The task that gives these outputs, any of a task if none are named, for these inputs.

    Raises:
        MissingHead: the model has none.
    """
    for one in tasks_of(manifest):
        if one.takes(inputs) and set(outputs) <= set(one.output_names(manifest)):
            return one
    known = "; ".join(
        f"{', '.join(one.output_names(manifest))} for {' and '.join(one.required)}"
        for one in tasks_of(manifest)
    )
    raise MissingHead(
        f"This model has no task of these inputs and outputs together. Its outputs are: {known}.",
        param="outputs" if outputs else "inputs",
    )


# --- the tasks --------------------------------------------------------------------------------


def _texts(texts: Mapping[str, Sequence[str]]) -> list[str]:
    return list(texts["text"])


def _texts_or_pairs(texts: Mapping[str, Sequence[str]]) -> list[TextOrPair]:
    alone = [None] * len(texts["text"])
    return list(zip(texts["text"], texts.get("text_pair", alone), strict=True))


def _pairs(texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    return list(zip(texts["text"], texts["text_pair"], strict=True))


def _questions(texts: Mapping[str, Sequence[str]]) -> list[Question]:
    return [Question(*one) for one in zip(texts["question"], texts["context"], strict=True)]


def _cut(parameters: InferParameters) -> Cut:
    return Cut(bool(parameters.truncate))


def _floats(values: Sequence[Any]) -> Any:
    return np.array(values, np.float32).reshape(-1)


def _numbers(values: Sequence[int]) -> Any:
    return np.array(values, np.int64)


def _vectors(vectors: Vectors) -> Tensors:
    return {"embedding": Tensor(vectors.shape, vectors.reshape(-1))}


def _labels(texts: LabelsByText) -> Tensors:
    shape = (len(texts), len(texts[0]))
    labels = [one.label for labels in texts for one in labels]
    scores = [one.score for labels in texts for one in labels]
    return {"label": Tensor(shape, labels), "score": Tensor(shape, _floats(scores))}


def _fillings(texts: Filled) -> Tensors:
    masks = [fillings for text in texts for fillings in text]
    shape = (len(masks), len(masks[0]))
    each = [filling for fillings in masks for filling in fillings]
    return {
        "token_str": Tensor(shape, [filling.token_str for filling in each]),
        "token_score": Tensor(shape, _floats([filling.score for filling in each])),
        "sequence": Tensor(shape, [filling.sequence for filling in each]),
        "text_index": Tensor(
            shape[:1], _numbers([index for index, text in enumerate(texts) for _ in text])
        ),
    }


def _entities(texts: EntitiesByText) -> Tensors:
    told = [
        orjson.dumps(
            [
                {
                    "entity_group": one.label,
                    "score": one.score,
                    "word": one.word,
                    "start": one.start,
                    "end": one.end,
                }
                for one in entities
            ]
        ).decode()
        for entities in texts
    ]
    return {"entities": Tensor((len(texts),), told)}


def _answers(questions: FoundByQuestion) -> Tensors:
    best = [found[0] for found in questions]
    shape = (len(best),)
    return {
        "answer": Tensor(shape, [one.answer for one in best]),
        "answer_score": Tensor(shape, _floats([one.score for one in best])),
        "answer_start": Tensor(shape, _numbers([one.start for one in best])),
        "answer_end": Tensor(shape, _numbers([one.end for one in best])),
    }


# A model's own task comes first: classifiers can all embed, and pretrained ones fill masks too.
TENSOR_TASKS: Final[tuple[TensorTask[Any, Any, Any], ...]] = (
    TensorTask(
        QUESTION_ANSWERING,
        required=("question", "context"),
        outputs=lambda _: (
            Spec("answer", "BYTES", (ANY,)),
            Spec("answer_score", "FP32", (ANY,)),
            Spec("answer_start", "INT64", (ANY,)),
            Spec("answer_end", "INT64", (ANY,)),
        ),
        read=_questions,
        options=lambda _: AnswerOptions(),
        tensors=_answers,
    ),
    TensorTask(
        TOKEN_CLASSIFICATION,
        required=("text",),
        outputs=lambda _: (Spec("entities", "BYTES", (ANY,)),),
        read=_texts,
        options=lambda asked: EntityOptions(truncate=bool(asked.truncate)),
        tensors=_entities,
    ),
    TensorTask(
        TEXT_CLASSIFICATION,
        required=("text",),
        optional=("text_pair",),
        outputs=lambda manifest: (
            Spec("label", "BYTES", (ANY, len(manifest.labels))),
            Spec("score", "FP32", (ANY, len(manifest.labels))),
        ),
        read=_texts_or_pairs,
        options=lambda asked: PredictOptions(top_k=asked.top_k, cut=_cut(asked)),
        tensors=_labels,
        parameters=frozenset({"top_k"}),
    ),
    TensorTask(
        FILL_MASK,
        required=("text",),
        outputs=lambda _: (
            Spec("token_str", "BYTES", (ANY, ANY)),
            Spec("token_score", "FP32", (ANY, ANY)),
            Spec("sequence", "BYTES", (ANY, ANY)),
            Spec("text_index", "INT64", (ANY,)),
        ),
        read=_texts,
        options=lambda asked: FillMaskOptions(top_k=asked.top_k, truncate=bool(asked.truncate)),
        tensors=_fillings,
        parameters=frozenset({"top_k"}),
    ),
    TensorTask(
        NEXT_SENTENCE,
        required=("text", "text_pair"),
        outputs=lambda _: (Spec("is_next_probability", "FP32", (ANY,)),),
        read=_pairs,
        options=_cut,
        tensors=lambda found: {"is_next_probability": Tensor((len(found),), _floats(found))},
    ),
    TensorTask(
        EMBED,
        required=("text",),
        outputs=lambda manifest: (Spec("embedding", "FP32", (ANY, _width(manifest))),),
        read=_texts,
        options=lambda asked: EmbedOptions(
            _cut(asked),
            normalize=asked.normalize,
            dimensions=asked.dimensions,
            prompt_name=asked.prompt_name,
        ),
        tensors=_vectors,
        parameters=frozenset({"normalize", "dimensions", "prompt_name"}),
    ),
)


def _width(manifest: ModelManifest) -> int:
    pooling = manifest.pooling
    return pooling.dimensions or pooling.width(manifest.architecture.hidden_size)
