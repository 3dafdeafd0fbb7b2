"""`python -m tests.checkpoints`: the rows in, docs/checkpoints.md out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from tests.checkpoints.making import make
from tests.checkpoints.rows import ROWS, Row

PAGE: Final = Path(__file__).parents[2] / "docs" / "checkpoints.md"
HEAD: Final = """\
# Checkpoints

Written by `python -m tests.checkpoints`: encoders that people use most, what each is made of, and
whether Cloze serves it. For each a small checkpoint of the same making is written, with random
weights: the classes of transformers and sentence-transformers, the tokenizer's class and settings,
the modules. What is served is compared with those libraries over HTTP, on ragged texts in its own
script, in the task that it is for and by its tokens (`tests/checkpoints`); the largest difference
allowed is 1e-5.

What makes a checkpoint served or not is in
[Which checkpoints are supported](supported-checkpoints.md).

"""


def page() -> str:
    """The whole page."""
    lines = ["| checkpoint | for | family | tokenizer | modules | |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(ROWS):
            verdict = _verdict(row, Path(folder) / str(number))
            modules = ", ".join(row.modules) or row.architecture
            cells = (row.name, row.kind, row.model_type, row.tokenizer.told, modules, verdict)
            lines.append(f"| {' | '.join(cells)} |")
    served = sum(line.endswith("| served |") for line in lines)
    count = f"{served} of {len(ROWS)} are served.\n\n"
    return HEAD + count + "\n".join(lines) + "\n"


def _verdict(row: Row, folder: Path) -> str:
    make(row, folder)
    try:
        read_checkpoint(folder)
    except ExportError as error:
        return f"refused: {error}"
    return "served"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
