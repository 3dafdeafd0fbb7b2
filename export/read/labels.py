"""The fields of a config.json and the rows of its classifier in, what each row's number means out.

A file may name labels without a classifier that has them, in every shape that people's scripts
write: what nobody will answer with is not read, let alone refused.
"""

import dataclasses
from collections.abc import Mapping

from export.errors import ExportError
from export.read.config import EncoderConfig
from export.read.documents import Fields

PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


def with_labels(config: EncoderConfig, fields: Fields, rows: int) -> EncoderConfig:
    """The configuration with a label for each of the classifier's rows, none without rows.

    Raises:
        ExportError: labels and rows do not fit, or the problem is not one of `PROBLEMS`.
    """
    if not rows:
        return config
    problem = fields.text("problem_type", PROBLEMS[0])
    if problem not in PROBLEMS:
        known = ", ".join(PROBLEMS)
        raise ExportError(f"problem_type in {fields.file} is {problem}; expected one of {known}.")
    return dataclasses.replace(
        config,
        labels=_labels(fields, rows),
        multi_label=problem == PROBLEMS[1],
        regression=problem == PROBLEMS[2],
    )


def _labels(fields: Fields, rows: int) -> tuple[str, ...]:
    """A label for each row: that of its number in id2label, else LABEL_ and the number.

    transformers builds as many rows as there are labels, whatever their numbers are. Numbers with
    gaps reach as far as the rows, or there are as many labels as rows.
    """
    named = _numbered(fields)
    if not named:
        return tuple(f"LABEL_{row}" for row in range(rows))
    if rows not in {len(named), max(named) + 1}:
        raise ExportError(
            f"id2label in {fields.file} names {len(named)} labels; the classifier has {rows}."
        )
    if 0 not in named:
        raise ExportError(
            f"id2label in {fields.file} has no label 0, so that which row is which is not known."
        )
    return tuple(named.get(row, f"LABEL_{row}") for row in range(rows))


def _numbered(fields: Fields) -> dict[int, str]:
    """id2label by number; JSON has no other keys than text. A label may be null."""
    file, found = fields.file, fields.values.get("id2label") or {}
    if not isinstance(found, Mapping) or not all(map(_is_number, found)):
        raise ExportError(f"id2label in {file} must be an object with numbers for keys.")
    if not all(value is None or type(value) in {str, int} for value in found.values()):
        raise ExportError(f"Labels of id2label in {file} must be text or whole numbers.")
    named = {int(n): f"LABEL_{int(n)}" if v is None else str(v) for n, v in found.items()}
    if len(named) < len(found):
        raise ExportError(f"id2label in {file} names a label twice.")
    return named


def _is_number(key: str) -> bool:
    """Whether a key is decimal digits, few enough for a number of a row.

    >>> _is_number("12"), _is_number("-1"), _is_number("one")
    (True, False, False)
    """
    return key.isascii() and key.isdigit() and len(key) < 10
