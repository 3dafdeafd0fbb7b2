"""Section `placement`: where nodes run, how far answers are from the CPU's, and from themselves.

A text's answer should not depend on the texts that it is computed with. On a GPU kernels are chosen
by shape, so how much it does is measured: each text alone, and among others.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.gpu.lab import Lab, Opening, Outputs, run
from benchmarks.gpu.report import Report
from models.heads import NSP
from server.inference.runtime.packing import (
    Encoding,
    Item,
    MaskResult,
    MaskScores,
    PooledLogits,
    SentenceVector,
)

PRECISIONS = ("fp16", "fp32")
TARGETS = 64  # words of the vocabulary whose log-probabilities are compared at each mask
LONGEST = 500  # tokens
CROWD = 400  # short texts beside the longest: padded attention is largest then


def placement(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    """Write three tables."""
    _nodes(lab, report, sizes)
    _parity(lab, report, sizes)
    _sameness(lab, report, sizes)


def _nodes(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    report.table("Placement", "model", "nodes by provider", "not on the device")
    for size in sizes:
        for precision in PRECISIONS:
            with TemporaryDirectory() as folder:
                opening = Opening(profile=Path(folder) / "profile")
                session = lab.raw(lab.graph(size, precision), opening)
                run(session, lab.feeds(everything(lab), size))
                events = json.loads(Path(session.end_profiling()).read_text())
            nodes = {
                event["name"].removesuffix("_kernel_time"): event["args"]["provider"]
                for event in events
                if event.get("args", {}).get("provider")
            }
            wanted = lab.device.providers[0][0]
            others = [name for name, provider in nodes.items() if provider != wanted]
            counts = Counter(nodes.values())
            placed = ", ".join(f"{name} {count}" for name, count in counts.items())
            report.row(f"{size} {precision}", placed, ", ".join(others) or "none")


def everything(lab: Lab) -> list[Item]:
    """All heads on texts of all lengths, some masks with wanted words."""
    mixed = lab.texts.items("mixed", "fill-mask")[:24]
    targets = tuple((0, token) for token in range(1000, 1000 + 97 * TARGETS, 97))
    items = [
        Item(item.encoding, MaskScores(item.output.rows[:1], 5, targets))
        for item in mixed
        if isinstance(item.output, MaskScores) and item.output.rows
    ]
    encodings = [item.encoding for item in mixed]
    items += [Item(encoding, PooledLogits(NSP)) for encoding in encodings[:8]]
    items += [Item(encoding, SentenceVector("mean")) for encoding in encodings]
    items += [Item(encoding, SentenceVector("cls", -2)) for encoding in encodings[:4]]
    return [*items, *(Item(encoding, SentenceVector("max")) for encoding in encodings[:4])]


def _parity(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    columns = ("log-probabilities", "NSP logits", "vectors", "cosine, worst", "best word the same")
    report.table("Largest difference from float32 on the CPU", "model", *columns)
    for size in sizes:
        feeds = lab.feeds(everything(lab), size)
        wanted = run(lab.raw(lab.graph(size, "fp32"), cpu=True), feeds)
        for precision in PRECISIONS:
            found = run(lab.raw(lab.graph(size, precision)), feeds)
            same = found["mlm_ids"][:, 0] == wanted["mlm_ids"][:, 0]
            report.row(
                f"{size} {precision}",
                _apart(found, wanted, "target_log_probabilities"),
                _apart(found, wanted, "nsp_logits"),
                max(_apart(found, wanted, name) for name in ("pooled", "pooled_max")),
                f"{_cosines(found['pooled'], wanted['pooled']).min():.7f}",
                f"{same.sum()} of {len(same)}",
            )


def _apart(found: Outputs, wanted: Outputs, name: str) -> float:
    return float(np.abs(found[name] - wanted[name]).max())


def _cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosines: np.ndarray = (ours * theirs).sum(axis=1) / norms
    return cosines


def _sameness(lab: Lab, report: Report, sizes: Sequence[str]) -> None:
    columns = ("log-probabilities", "vectors", "best word the same")
    report.table("Largest difference of a text from itself alone", "model", "beside", *columns)
    for size in sizes:
        for precision in PRECISIONS:
            session = lab.session(size, precision)
            texts = [item.encoding for item in lab.texts.items("short", "embed")[:8]]
            pooled = SentenceVector("mean")
            ours = [Item(one, output) for one in texts for output in (pooled, _fill(one))]
            alone = [session.run([item])[0] for item in ours]
            for name, company in _companies(lab).items():
                try:
                    among = session.run([*ours, *company])[: len(ours)]
                except Exception as error:  # noqa: BLE001 - that it fails is what is reported
                    report.row(f"{size} {precision}", name, f"failed: {str(error)[:300]}", "", "")
                    continue
                report.row(f"{size} {precision}", name, *_differences(alone, among))


def _fill(encoding: Encoding) -> MaskScores:
    row = len(encoding) // 2
    return MaskScores((row,), 5, tuple((0, token) for token in range(1000, 1000 + TARGETS)))


def _companies(lab: Lab) -> dict[str, list[Item]]:
    short = lab.texts.items("short", "embed")
    longest = Encoding(np.arange(1000, 1000 + LONGEST), np.zeros(LONGEST, np.int64))
    crowd = (short * (CROWD // len(short) + 1))[:CROWD]
    return {
        "7 short texts": short[8:15],
        f"a text of {LONGEST} tokens": [Item(longest, SentenceVector("mean"))],
        f"{CROWD} short texts": crowd,
        f"{CROWD} short texts and one of {LONGEST} tokens": [
            *crowd,
            Item(longest, SentenceVector("mean")),
        ],
    }


def _differences(alone: Sequence[object], among: Sequence[object]) -> tuple[float, float, str]:
    odds, vectors, same, masks = 0.0, 0.0, 0, 0
    for one, other in zip(alone, among, strict=True):
        if isinstance(one, MaskResult) and isinstance(other, MaskResult):
            apart = np.abs(one.target_log_probabilities - other.target_log_probabilities)
            odds = max(odds, float(apart.max()))
            same += int(one.ids[0, 0] == other.ids[0, 0])
            masks += 1
        elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
            vectors = max(vectors, float(np.abs(one - other).max()))
    return odds, vectors, f"{same} of {masks}"
