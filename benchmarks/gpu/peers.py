"""Section `peers`: Cloze's session beside PyTorch, same weights, same texts, turn by turn.

Each gets the batch size and the number of threads that it does best with, among the same few.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.gpu.lab import Lab
from benchmarks.gpu.report import Report
from benchmarks.gpu.streams import batches, p50_ms, padded_batches, rounds
from benchmarks.gpu.throughput import LOADS
from server.inference.runtime.packing import Item, MaskResult
from server.inference.runtime.session import Session

if TYPE_CHECKING:
    from benchmarks.gpu.pytorch import PyTorch

WORKERS = (1, 2)
BATCHES = 2  # of the largest size, in a round
ROUNDS = 3
TUNING = 0.4  # share of a measurement's seconds


@dataclass(frozen=True)
class Subject:
    """What computes a load one way: its batches, and how it runs one."""

    name: str
    laid: Sequence[Any]
    run: Callable[[Any], object]
    workers: int
    setting: str


def peers(lab: Lab, report: Report, sizes: Sequence[str], budgets: Sequence[int]) -> None:
    """Write throughput and latency of both."""
    from benchmarks.gpu.pytorch import PyTorch  # noqa: PLC0415 (takes seconds to import)

    names = {size: (lab.session(size), PyTorch(lab.bert(size), lab.device.name)) for size in sizes}
    _agreement(lab, report, names)
    report.table("PyTorch beside it: one short text alone", "model", "task", "Cloze, ms", "it, ms")
    for size, (session, peer) in names.items():
        for task in ("fill-mask", "embed"):
            item = lab.texts.items("short", task)[0]
            laid = peer.padded([item])
            ours = p50_ms(partial(session.run, [item]), lab.seconds)
            report.row(size, task, ours, p50_ms(partial(peer.answer, laid), lab.seconds))
    columns = ("texts/s, median", "rounds", "settings", "Cloze / this")
    report.table("PyTorch beside it: throughput", "model", "load", "subject", *columns)
    for load, (size, (session, peer)) in product(LOADS, names.items()):
        if lab.over:
            report.note("Cut short: no time was left.")
            return
        _compare(lab, report, session, peer, size, load, budgets)


def _agreement(lab: Lab, report: Report, names: "dict[str, tuple[Session, PyTorch]]") -> None:
    columns = ("best word the same", "vectors, largest difference")
    report.table("PyTorch beside it: the same answers", "model", *columns)
    for size, (session, peer) in names.items():
        fills = lab.texts.items("short", "fill-mask")[:64]
        found = [result for result in session.run(fills) if isinstance(result, MaskResult)]
        ours = np.array([result.ids[0, 0] for result in found])
        theirs = peer.answer(peer.padded(fills))[0][:, 0]
        texts = lab.texts.items("mixed", "embed")[:16]
        vectors = np.stack([np.asarray(vector) for vector in session.run(texts)])
        apart = float(np.abs(vectors - peer.answer(peer.padded(texts))[0]).max())
        report.row(size, f"{(ours == theirs).sum()} of {len(ours)}", apart)


def _compare(
    lab: Lab,
    report: Report,
    session: Session,
    peer: "PyTorch",
    size: str,
    load: tuple[str, Any],
    budgets: Sequence[int],
) -> None:
    kind, task = load
    items = lab.texts.items(kind, task)
    subjects = [
        _best(lab, _clozes(session, items, budgets)),
        _best(lab, _pytorches("PyTorch", peer, peer.answer, items, budgets)),
    ]
    if task == "fill-mask":
        run, name = peer.answer_read_rows, "PyTorch, logits of masks alone"
        subjects.append(_best(lab, _pytorches(name, peer, run, items, budgets)))
    seen: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for _ in range(ROUNDS):
        for subject in subjects:
            seen[subject.name].append(_rate(subject, lab.seconds))
    ours = median(seen[subjects[0].name])
    for subject in subjects:
        rates = seen[subject.name]
        shown = ", ".join(f"{rate:,.0f}" for rate in rates)
        ratio = None if subject is subjects[0] else ours / median(rates)
        load_name = f"{kind} {task}"
        report.row(size, load_name, subject.name, median(rates), shown, subject.setting, ratio)


def _clozes(session: Session, items: Sequence[Item], budgets: Sequence[int]) -> list[Subject]:
    return [
        Subject(
            "Cloze",
            batches(items, budget, BATCHES * max(budgets)),
            session.run,
            workers,
            f"{budget}/{workers}",
        )
        for budget, workers in product(budgets, WORKERS)
    ]


def _pytorches(
    name: str,
    peer: "PyTorch",
    run: Callable[[Any], object],
    items: Sequence[Item],
    budgets: Sequence[int],
) -> list[Subject]:
    laid = {
        budget: [
            peer.padded(batch) for batch in padded_batches(items, budget, BATCHES * max(budgets))
        ]
        for budget in budgets
    }
    return [
        Subject(name, laid[budget], run, workers, f"{budget}/{workers}")
        for budget, workers in product(budgets, WORKERS)
    ]


def _best(lab: Lab, candidates: Sequence[Subject]) -> Subject:
    """The settings of most texts a second, after a round of warm-up each."""
    for subject in candidates[:: len(WORKERS)]:
        for batch in subject.laid:
            subject.run(batch)
    return max(candidates, key=lambda subject: _rate(subject, lab.seconds * TUNING))


def _rate(subject: Subject, seconds: float) -> float:
    texts = sum(len(batch) for batch in subject.laid)
    done = rounds(subject.laid, subject.run, workers=subject.workers, seconds=seconds)
    return texts * done.per_s
