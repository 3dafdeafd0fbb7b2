"""A body's fields before they are checked: what holds for those of every route alike.

A field that a route does not know is ignored and named in `x-ignored`, `model` names who answers,
and where the server cuts by itself a missing `truncate` says so.
"""

from collections.abc import Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel

from server.http.context import RequestContext
from server.http.mistakes import SHOWN_NAME

IGNORED_HEADER: Final = "x-ignored"
UNNAMED: Final = "default/not-specified"
"""What Infinity's clients send as `model` where their caller names none."""
_MOST_SHOWN: Final = 16  # names in it
_PARAMETERS: Final = "parameters"
_TRUNCATE: Final = "truncate"


class Fields:
    """The fields that one route knows."""

    def __init__(self, schema: Any) -> None:
        known = getattr(schema, "model_fields", {})
        self._known = frozenset(known)
        self._cuts = _TRUNCATE in known
        parameters = known.get(_PARAMETERS)
        self._parameters_cut = (
            not self._cuts
            and parameters is not None
            and any(_TRUNCATE in fields_of(kind) for kind in get_args(parameters.annotation))
        )

    def prepare(self, value: object, context: RequestContext) -> object:
        """Notes what a body says beside its task; returns it with the server's own defaults."""
        if not isinstance(value, dict):
            return value
        named = value.get("model")
        context.named = named if isinstance(named, str) and named != UNNAMED else None
        unknown = value.keys() - self._known
        context.ignored = tuple(unknown) if unknown else ()
        if context.service.settings.auto_truncate:
            self._cut_by_default(value)
        return value

    def _cut_by_default(self, value: dict[str, object]) -> None:
        if self._cuts and value.get(_TRUNCATE) is None:
            value[_TRUNCATE] = True
        parameters = value.get(_PARAMETERS) or {}
        if self._parameters_cut and isinstance(parameters, dict):
            given = parameters.get(_TRUNCATE)
            value[_PARAMETERS] = {**parameters, _TRUNCATE: True if given is None else given}


def fields_of(kind: object) -> Sequence[str]:
    """The names of a model's fields; none of what is no model."""
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def ignored_header(names: Sequence[str]) -> str:
    r"""The names of ignored fields, but for those that are long or odd.

    >>> ignored_header(["user", "x\n: y"]), ignored_header(["temperature"])
    ('user,...', 'temperature')
    """
    shown = [name for name in sorted(names) if SHOWN_NAME.fullmatch(name)][:_MOST_SHOWN]
    return ",".join([*shown, "..."] if len(shown) < len(names) else shown)
