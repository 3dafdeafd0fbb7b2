"""`python -m training evaluate`: a checkpoint and held-out data in, a table of figures out.

THE FLOW: checkpoint -> what its heads and the given data allow to measure -> table and JSON.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.device import add_device_flags, chosen_device
from training.errors import TrainingError
from training.evaluate import masked, next_sentence, prompts, pseudo_perplexity, report, similarity
from training.evaluate.figures import Figure
from training.evaluate.inference import SEED
from training.evaluate.mistakes import Mistakes
from training.evaluate.prompts import Prompt
from training.evaluate.subject import Subject, check_same_vocabulary, load_subject
from training.stored_corpus import DESCRIPTION, Corpus, sha256_of


@dataclass(frozen=True, eq=False)
class Material:
    """What checkpoints are measured on; None is not measured."""

    corpus: Path | None = None
    rated_pairs: similarity.RatedPairs | None = None
    prompts: Sequence[Prompt] | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training evaluate`."""
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", type=Path, help="a folder in Hugging Face's format")
    add("--corpus", metavar="DIR", type=Path, help="a corpus; its held-out part is read")
    add("--stsb", metavar="CSV", type=Path, help="rows of sentence,sentence,rating")
    add(
        "--prompts",
        metavar="FILE",
        type=Path,
        default=prompts.PROMPTS,
        help="sentences with a gap, as JSON lines; default: the 100 that come with the code",
    )
    add(
        "--baseline",
        metavar="CHECKPOINT",
        type=Path,
        help="another checkpoint, measured on --stsb for comparison",
    )
    add("--json", metavar="OUT", type=Path, help="also write the figures to this file")
    add(
        "--mistakes",
        metavar="OUT",
        type=Path,
        help="also write the pairs and prompts that CHECKPOINT gets wrong, as JSON lines",
    )
    add_device_flags(parser, default="cpu")


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the files."""
    if args.baseline and not args.stsb:
        raise TrainingError("--baseline is compared on --stsb, which is missing.")
    for out in (args.json, args.mistakes):
        if out and not out.resolve().parent.is_dir():
            raise TrainingError(f"The folder of {out} does not exist.")
    device = chosen_device(args)
    rated = similarity.read_rated_pairs(args.stsb) if args.stsb else None
    material = Material(args.corpus, rated, tuple(prompts.read_prompts(args.prompts)))
    subject = load_subject(args.checkpoint, device)
    mistakes = Mistakes(subject.tokenizer) if args.mistakes else None
    evaluations = [evaluate(subject, material, mistakes=mistakes)]
    if args.baseline:
        material = Material(rated_pairs=rated)
        evaluations.append(evaluate(load_subject(args.baseline, device), material, role="baseline"))
    conditions = _conditions(args) | report.machine(device)
    sys.stdout.write(report.table(evaluations, conditions) + "\n")
    if args.json:
        report.write_json(args.json, evaluations, conditions)
    if mistakes:
        mistakes.write(args.mistakes)


def evaluate(
    subject: Subject,
    material: Material,
    *,
    role: str = "checkpoint",
    mistakes: Mistakes | None = None,
) -> report.Evaluation:
    """All figures that the checkpoint's heads and the material allow.

    Wrong pairs and prompts are added to `mistakes`. Raises `TrainingError` when these are none.
    """
    started = time.monotonic()
    figures: list[Figure] = []
    model = subject.model
    if material.corpus and subject.heads:
        corpus = Corpus.open(material.corpus, "held-out")
        check_same_vocabulary(subject, material.corpus)
        if "mlm" in subject.heads:
            figures += masked.measure_masked(model, corpus)
            figures += pseudo_perplexity.measure_pseudo_perplexity(model, corpus)
        if "nsp" in subject.heads:
            figures += next_sentence.measure_next_sentence(model, corpus, mistakes=mistakes)
    if material.rated_pairs:
        pairs = material.rated_pairs
        figures += similarity.measure_similarity(model.bert, subject.tokenizer, pairs)
    if material.prompts and "mlm" in subject.heads:
        figures += prompts.measure_prompts(subject, material.prompts, mistakes=mistakes)
    if not figures:
        raise TrainingError(
            f"There is nothing to measure {subject.name} by: it needs --corpus or --stsb."
        )
    return report.Evaluation(
        role=role,
        name=subject.name,
        weights_sha256=subject.weights_sha256,
        heads=tuple(sorted(subject.heads)),
        figures=tuple(figures),
        seconds=round(time.monotonic() - started, 1),
    )


def _conditions(args: argparse.Namespace) -> dict[str, object]:
    """Seeds and the identity of what was read, by name and not by place."""
    files = {
        "prompts": args.prompts,
        "stsb": args.stsb,
        "corpus": args.corpus and args.corpus / DESCRIPTION,
    }
    digests = {f"{name}_sha256": sha256_of(path)[:16] for name, path in files.items() if path}
    return {"seed": SEED, **digests}
