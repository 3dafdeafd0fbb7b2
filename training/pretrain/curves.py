"""A run's metrics in, its curves as an SVG out."""

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Axes of the figure: a title, and the metrics drawn in it.
_PANELS = (
    ("loss at the masks", ("masked_words", "held_out_loss")),
    ("accuracy at the masks", ("masked_accuracy", "held_out_accuracy")),
    ("next sentence: accuracy", ("next_accuracy",)),
    ("distance to the teacher's vectors", ("distillation",)),
)
_COLOURS = ("#9db4d6", "#c44e52")  # what was trained on, what was held out


def draw_curves(metrics: Path, out: Path) -> None:
    """Draw what `metrics` (JSON lines with `step`) holds, against tokens, into `out`."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    per_step = next((line["tokens"] / line["step"] for line in lines if "tokens" in line), 1.0)
    panels = [panel for panel in _PANELS if any(_points(lines, name) for name in panel[1])]
    # Text as text and fixed ids: the file is small and the same for the same curves.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "curves", "font.size": 9}):
        figure = Figure(figsize=(9, 2.6 * ((len(panels) + 1) // 2)), layout="constrained")
        for place, (title, names) in enumerate(panels, start=1):
            axes = figure.add_subplot((len(panels) + 1) // 2, 2, place)
            for name, colour in zip(names, _COLOURS, strict=False):
                points = _points(lines, name)
                axes.plot(
                    [step * per_step / 1e6 for step, _ in points],
                    [value for _, value in points],
                    color=colour,
                    label=name.replace("_", " "),
                )
            axes.set_title(title, loc="left")
            axes.set_xlabel("million tokens")
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
        figure.savefig(out, format="svg", metadata={"Date": None})


def _points(lines: list[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(line["step"], line[name]) for line in lines if name in line]
