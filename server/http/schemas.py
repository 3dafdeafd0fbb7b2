"""A parsed body in, a checked one out: what all request bodies share, and how mistakes are told.

A mistake is told by the name of its field, what was wrong and what was expected. Values that the
client sent are never repeated, and of many mistakes only the first few are told.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter
from pydantic_core import PydanticCustomError

from server.errors import InvalidParameter, ValidationError, WrongType
from server.inference.tasks.pairs import Cut, TextOrPair

T = TypeVar("T")
Mistake = Mapping[str, Any]
"""One of pydantic's error details."""

MAX_DETAILS: Final = 5
MAX_FIELDS: Final = 32  # per object; the largest known one has nine

# Whole numbers of request bodies; JSON with larger ones is refused before it is read.
_LARGEST: Final = 2**63 - 1
Whole = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
AtLeast0 = Annotated[int, Field(ge=0, le=_LARGEST)]
AtLeast1 = Annotated[int, Field(ge=1, le=_LARGEST)]

# The right type with a value out of range; everything else is the wrong type.
_OUT_OF_RANGE: Final = frozenset(
    {"too_short", "too_long", "greater_than_equal", "less_than_equal", "literal_error"}
)
_SHOWN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")


class Body(BaseModel):
    """Base of every request body: exact types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        # Each unknown field costs an error object, so their number is checked before.
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise PydanticCustomError("too_many_fields", "has too many fields")
        return value


class Answer(BaseModel):
    """Base of every documented answer; answers themselves are written without it, for speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Answer):
    """What went wrong, what was expected, what to do."""

    type: str = Field(description="kind of error, such as validation_error")
    code: str = Field(description="stable code for programs, such as no_mask")
    message: str = Field(description="one or two sentences for people")
    param: str | None = Field(description="the field at fault, such as inputs[3]")


class ErrorAnswer(Answer):
    """Every answer that is not a success has this shape."""

    error: ErrorBody


# Checked where texts are tokenised, since white space alone is empty too; here only documented.
Text = Annotated[str, Field(json_schema_extra={"minLength": 1})]


class Truncation(Body):
    """What to do with a text that is too long; null stands for the default."""

    truncate: bool | None = Field(default=False, description="cut what is too long")


class DirectedTruncation(Truncation):
    """The same with a choice of ends."""

    truncation_direction: Literal["left", "right", "Left", "Right"] | None = Field(
        None, description="the end that is cut; the model's own, mostly the right, if absent"
    )

    @property
    def cut(self) -> Cut:
        """As tasks take it."""
        asked = self.truncation_direction
        left = asked in {"left", "Left"}
        return Cut(bool(self.truncate), None if asked is None else "left" if left else "right")


class Pair(Body):
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
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    raise refusal(mistakes)


def refusal(mistakes: Sequence[Mistake]) -> ValidationError:
    """The one error for pydantic's mistakes; a place is told without the input's own words."""
    told = [f"{_place(mistake) or 'The body'}: {_message(mistake)}" for mistake in mistakes]
    message = "; ".join(told[:MAX_DETAILS])
    if len(told) > MAX_DETAILS:
        message += f"; and {len(told) - MAX_DETAILS} more"
    first = mistakes[0]
    kind = InvalidParameter if first["type"] in _OUT_OF_RANGE else WrongType
    return kind(f"{message}.", param=_place(first) or None)


def _message(mistake: Mistake) -> str:
    match mistake["type"]:
        case "extra_forbidden":
            return "is not a known field"
        case "missing":
            return "is required"
        case "model_type" | "model_attributes_type":  # the latter where FastAPI validates
            return "should be a JSON object"
        case _:
            return str(mistake["msg"]).removeprefix("Input ")


def _place(mistake: Mistake) -> str:
    """Writes a place as people do.

    >>> _place({"loc": ("inputs", "<texts>", 3), "type": "string_type", "msg": "", "input": 0})
    'inputs[3]'
    """
    place = ""
    for part in mistake["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not part.startswith("<"):
            # An unknown field's name is the client's own, so it is shown only when harmless.
            shown = part if _SHOWN_NAME.fullmatch(part) else "(an unknown field)"
            place += f".{shown}" if place else shown
    return place
