"""`python -m training evaluate`: a model and data that it was not trained on in, figures out.

THE FLOW: checkpoint -> what its heads and the given data allow to measure -> table and JSON.
With `--data` a fine-tuned model, also one as it is served, goes to `training.evaluate.labelled`.
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
from training.evaluate.labelled import run as labelled
from training.options import flag
from training.stored_corpus import DESCRIPTION, Corpus, sha256_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training evaluate`."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        type=Path,
        help="a checkpoint in Hugging Face's format; with --data also a model folder",
    )
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
    labelled.add_arguments(parser)
    add_device_flags(parser, default="cpu")


def run(args: argparse.Namespace) -> None:
    """Measure, print the table and write the file."""
    _check(args)
    device = chosen_device(args)
    if args.data:
        labelled.run(args, device)
        return
    started = time.monotonic()
    subject = load_subject(args.model, device)
    figures = tuple(measure(subject, args))
    if not figures:
        raise TrainingError(
            f"There is nothing to measure {subject.name} by: it needs --corpus or --stsb, or, if "
            "it is fine-tuned, --data."
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


def _check(args: argparse.Namespace) -> None:
    """Find out before the measuring, not after it, what cannot be meant or written."""
    for out in (args.json, args.predictions, args.picture):
        if out and not out.resolve().parent.is_dir():
            raise TrainingError(f"The folder of {out} does not exist.")
    if args.data and (args.corpus or args.stsb):
        raise TrainingError(
            "--data is for a fine-tuned model, --corpus and --stsb for what pre-training taught; "
            "give the one or the others."
        )
    if not args.data and (given := labelled.given(args)):
        raise TrainingError(f"{flag(given[0])} goes with --data, the labelled examples.")


def _conditions(args: argparse.Namespace) -> dict[str, object]:
    """Seeds and the identity of what was read, by name and not by place."""
    files = {
        "prompts": args.prompts,
        "stsb": args.stsb,
        "corpus": args.corpus and args.corpus / DESCRIPTION,
    }
    digests = {f"{name}_sha256": sha256_of(path)[:16] for name, path in files.items() if path}
    return {"seed": SEED, **digests}
