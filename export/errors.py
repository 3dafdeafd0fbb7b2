"""Anything that stops an export in, one clear sentence for the person who started it out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ExportError(Exception):
    """The checkpoint, an option or the destination is at fault: the message is one sentence.

    It says what was wrong, what was expected and, where there is something to do, what to do.
    """


@contextmanager
def told(path: Path, done: str) -> Iterator[None]:
    """Turn what the system says against `path` into an `ExportError`: `told(out, "written")`.

    A file within it, or on the way to it, is named too.
    """
    try:
        yield
    except OSError as error:
        about = f" ({error.filename})" if error.filename not in {None, str(path)} else ""
        reason = error.strerror or error
        raise ExportError(f"{path} cannot be {done}: {reason}{about}.") from None
