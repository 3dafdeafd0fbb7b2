"""What a user of the training commands can do wrong, each said in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError


class TrainingError(Exception):
    """An input that training cannot use; the commands print it and exit with code 2."""


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Within, what the reader of checkpoints refuses is a `TrainingError` that names the folder."""
    try:
        yield
    except ExportError as error:
        raise TrainingError(f"The checkpoint {folder} cannot be used. {error}") from None
