"""`python -m training COMMAND`: text to checkpoint, one command per step of the way."""

import argparse
import importlib
import sys

from training.errors import TrainingError

COMMANDS = {
    "vocabulary": ("training.build_vocabulary", "text files -> a tokenizer of their language"),
    "corpus": ("training.corpus", "text files -> a corpus of token ids"),
    "pretrain": ("training.pretrain.command", "a corpus -> a checkpoint, from scratch or from one"),
    "finetune": (
        "training.finetune.command",
        "a checkpoint and labelled data -> a task's checkpoint",
    ),
    "study": ("training.study.command", "checkpoints and data -> how each is best fine-tuned"),
    "interpolate": ("training.interpolate", "two checkpoints of one model -> one between them"),
    "evaluate": ("training.evaluate.command", "a checkpoint -> a table of what it can do"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a `TrainingError` is printed and exits with code 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, purpose) in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose}.")
        if name in arguments[:1]:  # what the others need takes seconds to import
            chosen = importlib.import_module(module)
            chosen.add_arguments(command)
            command.set_defaults(run=chosen.run)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
