"""The names of a file's fields in, which of them holds what a task asks for out.

Usual names are found by themselves, whatever their case; `--columns text=review,label=stars` says
others. Several fields of 0 and 1 are one label of several: `label=toxic+insult`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training.data.record import names_of
from training.errors import TrainingError

JOINED = "+"


@dataclass(frozen=True)
class Role:
    """Something that a task asks of every row."""

    name: str
    purpose: str  # "the text"
    usual: tuple[str, ...]  # what fields that hold it are called, the surest first
    needed: bool = True
    beside: Mapping[str, tuple[str, ...]] | None = None
    """The usual names beside each name of the role before, where they depend on it."""
    joined: bool = False  # several columns may be named together


def parse_columns(text: str | None, roles: Sequence[Role]) -> dict[str, str]:
    """What `--columns` says: a role's name -> a field's.

    >>> parse_columns("text=review, label=stars", [Role("text", "", ()), Role("label", "", ())])
    {'text': 'review', 'label': 'stars'}
    """
    given: dict[str, str] = {}
    names = [role.name for role in roles]
    for part in (text or "").split(",") if text else []:
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if name not in names or not equals or not column:
            raise TrainingError(
                f"--columns takes NAME=COLUMN with commas between, where NAME is one of "
                f"{', '.join(names)}; as in {names[0]}=review."
            )
        given[name] = column
    return given


def are_numbers(given: Mapping[str, str]) -> bool:
    """Whether columns are given by number, as those of a file without a header are."""
    return bool(given) and all(column.isdecimal() for column in given.values())


def names_wanted(roles: Sequence[Role], given: Mapping[str, str]) -> Callable[[str], bool]:
    """Whether a field may be what is asked for, by its name.

    >>> wanted = names_wanted([Role("text", "", ("text", "review"))], {"text": "a+b"})
    >>> [wanted(name) for name in ("Review ", "id", "b")]
    [True, False, True]
    """
    names = {name for role in roles for name in role.usual}
    for role in roles:
        names.update(name for beside in (role.beside or {}).values() for name in beside)
    exact = {part for column in given.values() for part in (column, *column.split(JOINED))}
    roles_themselves = {role.name for role in roles}
    return lambda name: (
        name in exact or name in roles_themselves or name.strip().casefold() in names
    )


def find_columns(
    found: Sequence[str], roles: Sequence[Role], given: Mapping[str, str], place: str
) -> dict[str, str]:
    """The field of each role that there is one for.

    Args:
        found: the fields of the file.
        roles: what is asked for.
        given: what `--columns` says.
        place: of the header, for messages.

    Raises:
        TrainingError: a field was named that there is not, or none was found for a role that is
            needed.
    """
    for name, column in given.items():
        joined = any(role.joined for role in roles if role.name == name)
        parts = column.split(JOINED) if joined and column not in found else [column]
        if missing := [part for part in parts if part not in found]:
            raise TrainingError(
                f"{place}: there is no column {missing[0]}, which --columns names for {name}; its "
                f"columns are {names_of(list(found))}."
            )
    folded: dict[str, str] = {}
    for column in found:
        folded.setdefault(column.strip().casefold(), column)
    chosen = dict(given)
    for number, role in enumerate(roles):
        if role.name in chosen:
            continue
        usual = role.usual
        if role.beside is not None:
            before = roles[number - 1].name
            # Where the first text was named, so would be the second.
            usual = () if before in given else role.beside.get(chosen[before].casefold(), ())
        free = [folded[name] for name in usual if name in folded]
        free = [column for column in free if column not in chosen.values()]
        if free:
            chosen[role.name] = free[0]
        elif role.needed:
            raise TrainingError(
                f"{place}: no column is known to hold {role.purpose}. Its columns are "
                f"{names_of(list(found))}; expected is one of {', '.join(role.usual)}, or say "
                f"which: --columns {role.name}=NAME (without a header line by number: "
                f"{role.name}={number + 1})."
            )
    return chosen
