"""Fields of a dataclass in, flags of a command out, and what was given back: each declared once."""

import argparse
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any


def option(
    default: object, purpose: str, *, kind: Callable[[str], object] | None = None, **more: object
) -> Any:
    """A field with its purpose; `kind` makes its values where that is not the default's type."""
    metadata = {"purpose": purpose, "kind": kind or type(default), **more}
    return field(default=default, metadata=metadata)


def flag(name: str) -> str:
    """An option as it is written on the command line.

    >>> flag("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def add_flags(parser: argparse._ActionsContainer, options: type) -> None:
    """One flag for each field; a flag that is not given leaves what was there before."""
    for entry in fields(options):
        purpose = entry.metadata["purpose"]
        shown = purpose if entry.default is None else f"{purpose} (default: {entry.default})"
        if entry.metadata["kind"] is bool:
            parser.add_argument(
                flag(entry.name), action="store_true", default=argparse.SUPPRESS, help=purpose
            )
            continue
        parser.add_argument(
            flag(entry.name),
            type=entry.metadata["kind"],
            default=argparse.SUPPRESS,
            help=shown.replace("%", "%%"),
            metavar={int: "N", float: "X"}.get(entry.metadata["kind"], "NAME"),
        )


def given_flags(arguments: argparse.Namespace, options: type) -> dict[str, Any]:
    """The options that were given as flags."""
    names = {entry.name for entry in fields(options)}
    return {name: value for name, value in vars(arguments).items() if name in names}
