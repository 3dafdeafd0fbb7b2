"""`python -m training evaluate`: a checkpoint and held-out data in, a table of figures out.

THE FLOW: checkpoint -> what its heads and the given data allow to measure -> table and JSON.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from training.device import add_device_flags, chosen_device
from training.errors import TrainingError
from training.evaluate import masked, next_sentence, prompts, similarity
from training.evaluate.figures import Evaluation, Figure, machine
from training.evaluate.inference import SEED, Subject, check_same_vocabulary, load_subject
from training.stored_corpus import DESCRIPTION, Corpus, sha256_of


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
    add("--json", metavar="OUT", type=Path, help="also write the figures to this file")
    add_device_flags(parser, default="cpu")


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the file."""
    if args.json and not args.json.resolve().parent.is_dir():
        raise TrainingError(f"The folder of {args.json} does not exist.")
    device = chosen_device(args)
    started = time.monotonic()
    subject = load_subject(args.checkpoint, device)
    figures = tuple(measure(subject, args))
    if not figures:
        raise TrainingError(
            f"There is nothing to measure {subject.name} by: it needs --corpus or --stsb."
        )
    evaluation = Evaluation(
        name=subject.name,
        weights_sha256=subject.weights_sha256,
        heads=tuple(sorted(subject.heads)),
        figures=figures,
        seconds=round(time.monotonic() - started, 1),
    )
    conditions = _conditions(args) | machine(device)
    sys.stdout.write(evaluation.table(conditions) + "\n")
    if args.json:
        evaluation.write(args.json, conditions)


def measure(subject: Subject, args: argparse.Namespace) -> Iterator[Figure]:
    """All figures that the checkpoint's heads and the given files allow."""
    rated = similarity.read_rated_pairs(args.stsb) if args.stsb else None
    cloze = prompts.read_prompts(args.prompts)
    model = subject.model
    if args.corpus and subject.heads:
        corpus = Corpus.open(args.corpus, "held-out")
        check_same_vocabulary(subject, args.corpus)
        if "mlm" in subject.heads:
            yield from masked.measure_masked(model, corpus)
            yield from masked.measure_pseudo_perplexity(model, corpus)
        if "nsp" in subject.heads:
            yield from next_sentence.measure_next_sentence(model, corpus)
    if rated:
        yield from similarity.measure_similarity(model.bert, subject.tokenizer, rated)
    if "mlm" in subject.heads:
        yield from prompts.measure_prompts(subject, cloze)


def _conditions(args: argparse.Namespace) -> dict[str, object]:
    """Seeds and the identity of what was read, by name and not by place."""
    files = {
        "prompts": args.prompts,
        "stsb": args.stsb,
        "corpus": args.corpus and args.corpus / DESCRIPTION,
    }
    digests = {f"{name}_sha256": sha256_of(path)[:16] for name, path in files.items() if path}
    return {"seed": SEED, **digests}
