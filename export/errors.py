"""Anything that stops an export in, one clear sentence for the person who started it out."""


class ExportError(Exception):
    """The checkpoint, an option or the destination is at fault: the message is one sentence.

    It says what was wrong, what was expected and, where there is something to do, what to do.
    """
