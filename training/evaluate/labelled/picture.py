"""A confusion matrix in, a picture of it as SVG out."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from training.evaluate.labelled.outcome import Confusion

LONGEST = 40  # characters of a label
NUMBERED = 25  # labels; of more the colours tell
# Text as text and fixed ids: the file is small and the same for the same counts.
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "confusion", "font.size": 9}


def draw_confusion(confusion: Confusion, title: str, path: Path) -> None:
    """Draw how often each right label (a line) was answered by each label (a column).

    Colours are shares of the line, so that rare labels show as well as frequent ones.
    """
    size = len(confusion.names)
    lines = confusion.counts.sum(axis=1, keepdims=True)
    shares = confusion.counts / np.maximum(lines, 1)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Text stays text: who looks at the picture needs the letters, not who draws it.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        side = 2.5 + max(1.5, min(0.45 * size, 12.0))
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.add_subplot()
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#dddddd", linewidth=0.3)
        places = np.arange(size) + 0.5
        names = [label(name) for name in confusion.names]
        axes.set_xticks(places, names, rotation=90)
        axes.set_yticks(places, names)
        axes.set(
            title=label(title), xlabel=f"found ({confusion.of})", ylabel="right", aspect="equal"
        )
        axes.invert_yaxis()
        axes.tick_params(length=0)
        if size <= NUMBERED:
            for (line, column), count in np.ndenumerate(confusion.counts):
                colour = "white" if shares[line, column] > 0.6 else "black"
                axes.text(column + 0.5, line + 0.5, f"{count:,}", ha="center", va="center",
                          color=colour)  # fmt: skip
        figure.savefig(path, format="svg", metadata={"Date": None})


def label(name: str) -> str:
    r"""A name as it is drawn; a dollar would begin a formula.

    >>> label("$5")
    '\\$5'
    """
    short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return short.replace("$", r"\$")
