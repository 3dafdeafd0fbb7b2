"""Rounds become medians, spreads and ratios; what is written is read again."""

from pathlib import Path

import pytest

from benchmarks.report import markdown, read, section_table, write
from benchmarks.results import Figure, Results, Sample, ratio

FAST = Figure("throughput", "short", "cloze", "rate", (90.0, 120.0, 100.0))
SLOW = Figure("throughput", "short", "peer", "rate", (30.0, 10.0, 20.0))


def test_samples_of_all_rounds_become_one_figure() -> None:
    results = Results()
    for rate in (3.0, 1.0, 2.0):
        results.add("throughput", [Sample("short", "cloze", "rate", rate)])
        results.add("throughput", [Sample("short", "peer", "rate", 10 * rate)])
    one, other = results.figures()
    assert one == Figure("throughput", "short", "cloze", "rate", (3.0, 1.0, 2.0))
    assert (one.median, one.spread) == (2.0, (1.0, 3.0))
    assert other.median == 20.0


def test_figures_of_two_sections_stay_apart() -> None:
    results = Results()
    results.add("throughput", [Sample("short", "cloze", "p50", 1.0)])
    results.add("alone", [Sample("short", "cloze", "p50", 2.0)])
    assert [figure.rounds for figure in results.figures()] == [(1.0,), (2.0,)]


def test_ratios_are_taken_round_by_round() -> None:
    """The median of the ratios is not the ratio of the medians."""
    assert ratio(FAST, SLOW) == (3.0, 12.0, 5.0)


def test_table_has_a_row_for_each_subject_and_ratios_to_the_reference() -> None:
    head, _, fast, slow = section_table([FAST, SLOW], ["cloze"]).splitlines()
    assert head == "| workload | subject | rate (per second) | cloze / this |"
    assert fast == "| short | cloze | 100 (90.0 to 120) |  |"
    assert slow == "| short | peer | 20.0 (10.0 to 30.0) | 5.00 (3.00 to 12.00) |"


def test_a_measure_that_a_subject_lacks_leaves_its_cell_empty() -> None:
    latency = Figure("throughput", "short", "cloze", "p50", (4.0,))
    *_, fast, slow = section_table([FAST, latency, SLOW]).splitlines()
    assert fast.endswith("| 4.00 (4.00 to 4.00) |")
    assert slow.endswith("|  |")


def test_conditions_stand_above_the_tables() -> None:
    text = markdown([FAST], {"processor": "some", "not measured: peer": "it printed this"})
    assert text.startswith("- processor: some\n- not measured: peer: it printed this\n")
    assert text.index("## throughput") > text.index("processor")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "new", "cloze", [FAST, SLOW], {"date": "today"})
    assert read(tmp_path / "new" / "cloze.json") == [FAST, SLOW]
    assert "| short | cloze |" in (tmp_path / "new" / "cloze.md").read_text()


def test_rounds_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio(FAST, Figure("throughput", "short", "peer", "rate", (1.0,)))
