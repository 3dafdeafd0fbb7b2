"""Rows in, their small checkpoints and model folders out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from tests.checkpoints.making import make
from tests.checkpoints.row import Row


def model_name(row: Row) -> str:
    """What its model is called in requests."""
    name = f"{row.name} {row.after}".strip().lower()
    return re.sub(r"[^a-z0-9._-]", "-", name)[-64:].lstrip("-._")


def exported(rows: Sequence[Row], folder: Path) -> None:
    """Write `checkpoints` and `models` into `folder`."""
    for row in rows:
        checkpoint, model = (folder / part / model_name(row) for part in ("checkpoints", "models"))
        make(row, checkpoint)
        export_model(
            read_checkpoint(checkpoint), model, precision="fp32", progress=lambda _line: None
        )
