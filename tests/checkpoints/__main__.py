"""`python -m tests.checkpoints`: the rows in, docs/checkpoints.md out."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from export.errors import ExportError
from export.read.checkpoint import read_checkpoint
from tests.checkpoints.making import make
from tests.checkpoints.row import KINDS, Row
from tests.checkpoints.rows import REFUSED, ROWS
from tests.checkpoints.texts import NAMES

PAGE: Final = Path(__file__).parents[2] / "docs" / "checkpoints.md"
HEAD: Final = """\
# Checkpoints

Encoders that people use most, what each is made of, and whether Cloze serves it. Written by
`python -m tests.checkpoints`. Why a checkpoint is served or not is told in
[Which checkpoints are supported](supported-checkpoints.md).

**What was tested.** For each row there is a small checkpoint of the same making, with **random
weights**: the class of transformers, the tokenizer's class, settings and files, the modules of
sentence-transformers. `tests/checkpoints` exports it and compares what it answers over HTTP with
transformers or sentence-transformers, in the task that it is for, on ragged texts in the row's own
language: scores and vectors may differ by 0.00001; tokens, words and their places must be the same.
Each tokenizer is compared on more than 100 odd texts besides, and on pairs of them. Rows that
differ by name, size or language alone share a checkpoint, which knows all languages of the page.

**Trained weights** were compared for `sentence-transformers/all-MiniLM-L6-v2` and
`sentence-transformers/all-mpnet-base-v2`, which packages bring. All others are untested with
theirs.

**What a row says.** Names and making are those of the hub's pages in 2026, as far as they are known
here. A page may change, and the exporter decides by the files that it is given. Weights that are
published as `pytorch_model.bin` alone need `--allow-pickle`. Where there is `vocab.txt` without
`tokenizer_config.json`, capitals in it decide, as the exporter says; transformers lower-cases all
such texts unless it gets `do_lower_case=False`, and got it for the cased ones. Some checkpoints
that are refused as published are served after one change, and have a row for that:

| | |
|---|---|
| saved by transformers 5 | model and tokenizer, by `from_pretrained` and `save_pretrained` |
| with mecab_dic set | `tokenizer_config.json` gets `"mecab_kwargs": {"mecab_dic": "ipadic"}` |
| with tokenizer_class set | `tokenizer_config.json` gets `"tokenizer_class": "PreTrainedTokenizerFast"` |

The second names the dictionary that these models learnt with. The third takes version 4's
tokenizer as it is, where the first makes version 5's of it, which knows fewer characters.
"""  # noqa: E501 (a table's line)


def page(verdicts: Mapping[str, str]) -> str:
    """The whole page; `verdicts` are those of refused rows by their making."""
    names = {row.name for row in ROWS}
    published = {row.name for row in ROWS if not row.after and not row.refused}
    changed = {row.name for row in ROWS if row.after} - published
    counts = (
        f"\nOf {len(names)} checkpoints {len(published)} are served as they are published, "
        f"{len(changed)} after one change, and {len(names - published - changed)} are refused.\n"
    )
    return HEAD + counts + "".join(line for kind in KINDS for line in _section(kind, verdicts))


def _section(kind: str, verdicts: Mapping[str, str]) -> Iterator[str]:
    yield f"\n## {kind}\n\n| checkpoint | language | family | tokenizer | modules | |\n"
    yield "|---|---|---|---|---|---|\n"
    for row in (row for row in ROWS if row.kind == kind):
        name = f"{row.name}, {row.after}" if row.after else row.name
        modules = ", ".join(row.modules) or row.architecture
        verdict = f"refused: {_shortly(verdicts[row.making])}" if row.refused else "served"
        cells = (name, NAMES[row.language], row.model_type, row.tokenizer.told, modules, verdict)
        yield f"| {' | '.join(cells)} |\n"


def _shortly(said: str) -> str:
    """A refusal without the list of all that would be served."""
    return re.split(r"; Cloze |(?<=serves): ", said)[0].rstrip(".")


def refusal(row: Row, folder: Path) -> str:
    """What the exporter says of a row that it refuses, of which `folder` is made."""
    make(row, folder)
    try:
        read_checkpoint(folder)
    except ExportError as error:
        return str(error)
    raise AssertionError(f"{row.name} is not refused")


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        verdicts = {
            row.making: refusal(row, Path(folder) / str(number))
            for number, row in enumerate(REFUSED)
        }
    PAGE.write_text(page(verdicts), encoding="utf-8")


if __name__ == "__main__":
    main()
