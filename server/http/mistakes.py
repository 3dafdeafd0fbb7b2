"""What pydantic says of a body in, the one error out that tells it, in our words.

A mistake is told by the name of its field, what was wrong and what was expected. Values that the
client sent are never repeated, and of many mistakes only the first few are told.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic_core.core_schema import ErrorType

from server.errors import InvalidParameter, ValidationError, WrongType

Mistake = Mapping[str, Any]
"""One of pydantic's error details."""
Schema = Mapping[str, Any]
"""What pydantic checks by: a tree of steps."""

MAX_DETAILS: Final = 5

SHOWN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""Of a field that the client named; others are not repeated."""

_OBJECT: Final = "should be a JSON object"
_NUMBER: Final = "should be a number"
_WHOLE: Final = "should be a whole number"
_TRUTH: Final = "should be true or false"
_CHOICE: Final = "should be {expected}"
# By pydantic's name of the mistake, with what it knows of what was expected.
_WORDS: Final = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "should be a string",
    "string_too_short": "should have {min_length} characters or more",
    "string_too_long": "should have {max_length} characters or fewer",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "list_type": "should be a list",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,  # where FastAPI validates
    "none_required": "should be null",
    "literal_error": _CHOICE,
    "enum": _CHOICE,
    "greater_than": "should be more than {gt}",
    "greater_than_equal": "should be {ge} or more",
    "less_than": "should be less than {lt}",
    "less_than_equal": "should be {le} or less",
    "too_short": "should have {min_length} entries or more",
    "too_long": "should have {max_length} entries or fewer",
}
# The right type with a value out of range; everything else is the wrong type.
_OUT_OF_RANGE: Final = frozenset(
    {
        *("too_short", "too_long", "out_of_range", "string_too_short", "string_too_long"),
        *("greater_than", "greater_than_equal", "less_than", "less_than_equal", "literal_error"),
    }
)
_PYDANTICS: Final = frozenset(get_args(ErrorType))


def refusal(mistakes: Sequence[Mistake], schema: Schema | None = None) -> ValidationError:
    """The one error for pydantic's mistakes; a place is told without the input's own words.

    Args:
        mistakes: in the order in which they were found.
        schema: what the body was checked by, to tell what was expected of the whole.
    """
    told = [_told(mistake, schema) for mistake in mistakes[:MAX_DETAILS]]
    message = "; ".join(told)
    if len(mistakes) > MAX_DETAILS:
        message += f"; and {len(mistakes) - MAX_DETAILS} more"
    first = mistakes[0]
    kind = InvalidParameter if first["type"] in _OUT_OF_RANGE else WrongType
    return kind(f"{message}.", param=_place(first["loc"]) or None)


def _told(mistake: Mistake, schema: Schema | None) -> str:
    place = mistake["loc"]
    told = f"{_place(place) or 'The body'}: {_words(mistake)}"
    if schema is None or mistake["type"] in _OUT_OF_RANGE:
        return told
    for depth, expected in _expected(schema, place):
        if depth < len(place):
            return f"{told}; {_place(place[:depth])} {expected}"
    return told


def _words(mistake: Mistake) -> str:
    kind = mistake["type"]
    if kind not in _PYDANTICS:  # ours
        return str(mistake["msg"])
    return _WORDS.get(kind, "is not what is expected here").format(**mistake.get("ctx", {}))


def _place(parts: Sequence[int | str]) -> str:
    """Writes a place as people do; names in angle brackets are those of a union's branches.

    >>> _place(("inputs", "<texts>", 3))
    'inputs[3]'
    """
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not part.startswith("<"):
            # An unknown field's name is the client's own, so it is shown only when harmless.
            shown = part if SHOWN_NAME.fullmatch(part) else "(an unknown field)"
            place += f".{shown}" if place else shown
    return place


def _expected(schema: Schema, place: Sequence[int | str]) -> Iterator[tuple[int, str]]:
    """Yields what was expected of the fields on the way to a place, which take several shapes.

    With each goes how many parts of the place lead to it.
    """
    known: dict[str, Schema] = {}
    depth = 0
    while True:
        part = place[depth] if depth < len(place) else None
        match schema["type"]:
            case "definitions":
                known |= {each["ref"]: each for each in schema["definitions"]}
                schema = schema["schema"]
            case "definition-ref" if schema["schema_ref"] in known:
                schema = known[schema["schema_ref"]]
            case "model-fields" if part in schema["fields"]:
                schema, depth = schema["fields"][part]["schema"], depth + 1
            case "list" if isinstance(part, int):
                schema, depth = schema["items_schema"], depth + 1
            case "tagged-union":
                yield depth, str(schema.get("custom_error_message", ""))
                if part not in schema["choices"]:
                    return
                schema, depth = schema["choices"][part], depth + 1
            case _ if "schema" in schema:
                schema = schema["schema"]
            case _:
                return
