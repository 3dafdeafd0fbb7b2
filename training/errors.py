"""What a user of the training commands can do wrong, each said in one sentence."""

from __future__ import annotations


class TrainingError(Exception):
    """An input that training cannot use; the commands print it and exit with code 2."""
