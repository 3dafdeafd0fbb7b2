"""Rows as they are measured -> Markdown on the output at once, and in a file, and JSON beside it.

What was measured before a run was cut off is there.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Cell = str | float | None


class Report:
    """Sections of tables and notes."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._markdown = folder / f"{name}.md"
        self._json = folder / f"{name}.json"
        self._lines: list[str] = []
        self._tables: list[dict[str, Any]] = []
        self._conditions: Mapping[str, str] = {}

    def conditions(self, stated: Mapping[str, str]) -> None:
        """Say on what it is measured."""
        self._conditions = dict(stated)
        self._say(*(f"- {name}: {value}" for name, value in stated.items()))

    def table(self, title: str, *columns: str) -> None:
        """Begin a table."""
        self._tables.append({"title": title, "columns": list(columns), "rows": [], "notes": []})
        rule = "|" + " --- |" * len(columns)
        self._say("", f"## {title}", "", _line(columns), rule)

    def row(self, *cells: Cell) -> None:
        """Add a row to the table."""
        self._tables[-1]["rows"].append(list(cells))
        self._say(_line([shown(cell) for cell in cells]))

    def note(self, text: str) -> None:
        """Add a sentence below the table's rows."""
        if not self._tables:
            self.table("Notes", "")
        self._tables[-1]["notes"].append(text)
        self._say("", text)

    def _say(self, *lines: str) -> None:
        print("\n".join(lines), flush=True)
        self._lines += lines
        self._markdown.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        document = {"conditions": self._conditions, "tables": self._tables}
        self._json.write_text(json.dumps(document, indent=1), encoding="utf-8")


def shown(cell: Cell) -> str:
    """Write a cell: three digits of a number, nothing for None.

    >>> shown(12345.6), shown(3.14159), shown(0.000123456), shown(None), shown("x")
    ('12,346', '3.14', '0.000123', '', 'x')
    """
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.replace("|", "/").replace("\n", " ")
    return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
