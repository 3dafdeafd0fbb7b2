"""Figures become plots that hold a line for each subject."""

from pathlib import Path

from benchmarks.plots import latency_lines, length_lines, plot
from benchmarks.report import write
from benchmarks.results import Figure

FIGURES = [
    Figure("load", "short embed at 50 %", "cloze", "rate", (100.0, 100.0)),
    Figure("load", "short embed at 50 %", "cloze", "p99", (4.0, 6.0)),
    Figure("load", "short embed at 80 %", "cloze", "rate", (160.0, 160.0)),
    Figure("load", "short embed at 80 %", "cloze", "p99", (8.0, 10.0)),
    Figure("length", "embed of 8 tokens", "cloze", "rate", (900.0, 1000.0)),
    Figure("length", "embed of 64 tokens", "cloze", "rate", (300.0, 320.0)),
    Figure("length", "embed of 64 tokens", "peer", "rate", (30.0, 32.0)),
]


def test_latency_stands_over_the_rate_at_which_it_was_measured() -> None:
    lines = latency_lines(FIGURES, "embed", "p99")
    assert lines == {"cloze": [(100.0, FIGURES[1]), (160.0, FIGURES[3])]}
    assert not latency_lines(FIGURES, "fill-mask", "p99")


def test_throughput_stands_over_the_length_of_the_texts() -> None:
    lines = length_lines(FIGURES, "embed")
    assert [x for x, _ in lines["cloze"]] == [8, 64]
    assert lines["peer"] == [(64, FIGURES[6])]


def test_plots_are_drawn_alike_every_time(tmp_path: Path) -> None:
    write(tmp_path, "peers", FIGURES, {})
    drawn = plot(tmp_path / "peers.json", tmp_path)
    assert [file.name for file in drawn] == ["peers-embed-p99.svg", "peers-embed-length.svg"]
    first = [file.read_bytes() for file in drawn]
    assert all(b"<svg" in content and b"cloze" in content for content in first)
    plot(tmp_path / "peers.json", tmp_path)
    assert [file.read_bytes() for file in drawn] == first
