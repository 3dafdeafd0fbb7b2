"""A parsed body in, a checked one out: what all request bodies share."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

import pydantic
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from server.http.mistakes import refusal
from server.inference.tasks.pairs import Cut, Direction, TextOrPair

T = TypeVar("T")

MAX_FIELDS: Final = 32  # per object; the largest known one has nine

# Whole numbers of request bodies; JSON with larger ones is refused before it is read.
_LARGEST: Final = 2**63 - 1
Whole = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
AtLeast0 = Annotated[int, Field(ge=0, le=_LARGEST)]
AtLeast1 = Annotated[int, Field(ge=1, le=_LARGEST)]


class Part(BaseModel):
    """Base of every object inside a body: exact types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        # Each unknown field costs an error object, so their number is checked before.
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise PydanticCustomError("too_many_fields", "has too many fields")
        return value


class Body(Part):
    """Base of every request body: exact types; fields that it does not know are passed over.

    They are named in `x-ignored` (`server.http.fields`), where `model` is read too.
    """

    model_config = ConfigDict(extra="ignore")

    model: str | None = Field(
        None,
        description="name or alias of a loaded model, where the path names none; "
        "the one that fits if absent",
    )


class Answer(BaseModel):
    """Base of every documented answer; answers themselves are written without it, for speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


CUT: Final = "cut what is too long; absent, as `--auto-truncate` says"
"""What `truncate` does."""

# Checked where texts are tokenised, since white space alone is empty too; here only documented.
Text = Annotated[str, Field(json_schema_extra={"minLength": 1})]


class Cutting(StrEnum):
    """Whether and where to cut, as some clients say it; as a truth value, whether."""

    NONE = "NONE"
    START = "START"
    END = "END"

    def __bool__(self) -> bool:
        """Whether to cut at all."""
        return self is not Cutting.NONE


def _cutting(value: object) -> object:
    """Reads what clients send for `truncate`, in any case."""
    if value is None or isinstance(value, bool):
        return value
    known = Cutting.__members__.get(value.upper()) if isinstance(value, str) else None
    if known is None:
        raise PydanticCustomError("truncate", "should be true, false, START, END or NONE")
    return known


def _at_the_end(value: object) -> object:
    """The same for routes that cut at the end and nowhere else."""
    if (known := _cutting(value)) is Cutting.START:
        raise PydanticCustomError("truncate", "cuts at the end here: true, false, END or NONE")
    return known


def in_any_case(value: object) -> object:
    """A choice as it is declared, in small letters."""
    return value.lower() if isinstance(value, str) else value


AnyCase: Final = BeforeValidator(in_any_case)
"""Of a `Literal` in small letters: capitals are understood too."""


def _cutting_schema(*known: Cutting) -> WithJsonSchema:
    return WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"enum": [one.value for one in known]}, {"type": "null"}]}
    )


Truncate = Annotated[bool | Cutting | None, BeforeValidator(_cutting), _cutting_schema(*Cutting)]
TruncateEnd = Annotated[
    bool | Cutting | None,
    BeforeValidator(_at_the_end),
    _cutting_schema(Cutting.NONE, Cutting.END),
]


End = Annotated[Literal["left", "right"], AnyCase] | None
_ENDS: Final[Mapping[object, Direction]] = {Cutting.START: "left", Cutting.END: "right"}
CUT_END: Final = "the end that is cut; the model's own, mostly the right, if absent"
"""What `truncation_direction` says."""


def cut_as_asked(truncate: bool | Cutting | None, direction: Direction | None = None) -> Cut:
    """As tasks take it; a direction that is named counts for more than START or END."""
    return Cut(bool(truncate), direction or _ENDS.get(truncate))


class Truncation(Body):
    """What to do with a text that is too long; null stands for the server's own way."""

    truncate: Truncate = Field(None, description=CUT)

    @property
    def cut(self) -> Cut:
        """As tasks take it."""
        return cut_as_asked(self.truncate)


class DirectedTruncation(Truncation):
    """The same with a choice of ends."""

    truncation_direction: End = Field(None, description=CUT_END)

    @property
    def cut(self) -> Cut:
        """As tasks take it."""
        return cut_as_asked(self.truncate, self.truncation_direction)


class Pair(Part):
    """Two texts that are read as one input: `[CLS] text [SEP] text_pair [SEP]`."""

    text: Text
    text_pair: Text


# Tags name the branch of a union that an input's shape selects. Their angle brackets set them apart
# from field names, so that they can be left out of a mistake's place.
def tag(name: str) -> Tag:
    """Marks one branch of a union."""
    return Tag(f"<{name}>")


def _text_or_texts(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<texts>" if isinstance(value, list) else None


def shape_error(expected: str) -> dict[str, Any]:
    """Returns the arguments of a `Discriminator` whose input has none of the known shapes."""
    return {"custom_error_type": "shape", "custom_error_message": f"should be {expected}"}


AnyItems = Annotated[list[T], Field(fail_fast=True)]
"""A list, also of nothing; its first mistake ends the check."""
Items = Annotated[list[T], Field(min_length=1, fail_fast=True)]
"""A list that has something in it; its first mistake ends the check."""

Texts = Annotated[
    Annotated[Text, tag("text")] | Annotated[Items[Text], tag("texts")],
    Discriminator(_text_or_texts, **shape_error("a string or a list of strings")),
]


def _text_or_pair(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<pair>" if isinstance(value, dict) else None


def _texts_or_pairs(value: object) -> str | None:
    if isinstance(value, list):
        return "<items>"
    return None if _text_or_pair(value) is None else "<item>"


_TextOrPair = Annotated[
    Annotated[Text, tag("text")] | Annotated[Pair, tag("pair")],
    Discriminator(_text_or_pair, **shape_error('a string or {"text", "text_pair"}')),
]
TextsOrPairs = Annotated[
    Annotated[_TextOrPair, tag("item")] | Annotated[Items[_TextOrPair], tag("items")],
    Discriminator(
        _texts_or_pairs, **shape_error('a string, {"text", "text_pair"}, or a list of either')
    ),
]


def texts_and_pairs(inputs: str | Pair | list[str | Pair]) -> tuple[list[TextOrPair], bool]:
    """Returns texts and pairs as tasks take them, and whether the client sent a list.

    >>> texts_and_pairs("a"), texts_and_pairs([Pair(text="a", text_pair="b")])
    (([('a', None)], False), ([('a', 'b')], True))
    """
    sent = inputs if isinstance(inputs, list) else [inputs]
    pairs: list[TextOrPair] = [
        (one, None) if isinstance(one, str) else (one.text, one.text_pair) for one in sent
    ]
    return pairs, isinstance(inputs, list)


def validated(adapter: TypeAdapter[T], value: object) -> T:
    """Returns `value` as the adapter's type.

    Raises:
        WrongType: a field is missing, unknown or of another type.
        InvalidParameter: a field is out of range.
    """
    try:
        return adapter.validate_python(value)
    except pydantic.ValidationError as error:
        mistakes = error.errors(include_url=False, include_input=False)
    raise refusal(mistakes, adapter.core_schema)
