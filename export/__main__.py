"""`python -m export CHECKPOINT OUT`: a checkpoint in, a model folder and a table out.

THE FLOW: read_checkpoint -> export_model -> table. Whatever is wrong with the checkpoint, the
options or the destination ends in one sentence on stderr and exit code 2, with nothing written.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from export.errors import ExportError, told
from export.read.checkpoint import read_checkpoint
from export.read.documents import read_text
from export.write.model_folder import LINEARS, export_model
from models.heads import MLM
from models.manifest import MANIFEST_FILE, NAME_PATTERN, ModelManifest

BAD_INPUT, INTERRUPTED = 2, 130  # exit codes
LONGEST_LINE = 1000  # characters: a checkpoint's names may be of any length


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        manifest = _export(options)
    except ExportError as error:
        _progress(f"export: {error}")
        return BAD_INPUT
    except OSError as error:  # of a place that cannot be looked into
        _progress(f"export: {error.filename} cannot be read: {error.strerror or error}.")
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    print(summary(manifest, options.out, seconds=time.monotonic() - started))
    return 0


def summary(manifest: ModelManifest, out: Path, *, seconds: float) -> str:
    """The table after an export: parameters by part, size, parity, quantization error, time."""
    size = sum(record.size for record in manifest.files.values())
    measured = [
        f"{kind} {name}: {value:.3g}"
        for kind, values in (
            ("parity", manifest.parity),
            ("quantization error", manifest.quantization_error),
        )
        for name, value in values.items()
    ]
    return "\n".join(
        [
            f"{out} ({manifest.precision}, heads: {', '.join(manifest.heads) or 'none'})",
            parameter_table(manifest.parameters),
            *measured,
            f"size: {size / 1e6:.1f} MB",
            f"time: {seconds:.1f} s",
        ]
    )


def parameter_table(counts: Mapping[str, int]) -> str:
    """One line per part.

    >>> print(parameter_table({"embeddings": 23837184, "total": 109482240}))
    embeddings   23,837,184
    total       109,482,240
    """
    labels = {n: "textbook V·H + L·12·H²" if n == "textbook" else n for n in counts}
    left = max(map(len, labels.values()))
    right = max(len(f"{count:,}") for count in counts.values())
    return "\n".join(f"{labels[n]:<{left}}  {count:>{right},}" for n, count in counts.items())


def one_line(text: str) -> str:
    r"""The text as a terminal may show it: names of files and tensors may hold anything.

    >>> print(one_line("a\nb\x1b[31m"))
    a\nb\x1b[31m
    """
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[:LONGEST_LINE]} …"


def _export(options: argparse.Namespace) -> ModelManifest:
    name = options.name or options.out.resolve().name
    if not NAME_PATTERN.fullmatch(name):
        raise ExportError(
            f"{name} cannot be a model's name: lower-case letters, digits, dots, dashes and "
            "underscores only, at most 64; choose one with --name."
        )
    _check_destination(options.out, force=options.force)
    notes = read_text(options.notes, may_be_empty=True) if options.notes else ""
    checkpoint = read_checkpoint(
        options.checkpoint,
        revision=options.revision,
        allow_pickle=options.allow_pickle,
        lowercase=options.lowercase,
    )
    checkpoint = dataclasses.replace(
        checkpoint,
        name=name,
        source=options.source or checkpoint.source,
        license=options.license or checkpoint.license,
    )
    if options.sparse:
        if MLM.name not in checkpoint.heads:
            raise ExportError(
                f"{options.checkpoint} has no {MLM.title} head, of which --sparse makes vectors."
            )
        checkpoint = dataclasses.replace(checkpoint, sparse=True)
    for key, reason in checkpoint.ignored.items():
        _progress(f"not used: {key} ({reason})")
    with told(options.out, "written"):
        return export_model(
            checkpoint,
            options.out,
            precision=options.precision,
            progress=_progress,
            notes=notes,
            replace=options.force,
        )


def _check_destination(out: Path, *, force: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise ExportError(f"{out} exists already; --force replaces it.")
    # A mistyped OUT must not cost anyone a folder of something else.
    if out.is_symlink() or not (out / MANIFEST_FILE).is_file():
        raise ExportError(f"{out} is not a model folder, so --force does not replace it.")


def _progress(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description="Turn a BERT checkpoint into a model folder."
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a Hugging Face or sentence-transformers folder, the id of a model on the hub, "
        "or Google's TensorFlow checkpoint (its folder, or .../bert_model.ckpt)",
    )
    add("out", metavar="OUT", type=Path, help="the folder to create, such as models/my-bert")
    add("--precision", choices=tuple(LINEARS), default="fp32", help="default: %(default)s")
    add("--name", help="the model's name in requests; default: OUT's last part")
    add("--source", help="where the weights are from; default: CHECKPOINT's id or last part")
    add("--revision", help="branch, tag or commit of a model on the hub")
    add("--license", help="default: what the checkpoint's model card says, else unknown")
    add("--licence", dest="license", help=argparse.SUPPRESS)  # as it was called before
    add("--notes", type=Path, help="a Markdown file to put into the model card")
    add(
        "--allow-pickle",
        action="store_true",
        help="read pytorch_model.bin where there are no safetensors (needs torch)",
    )
    add(
        "--lowercase",
        action=argparse.BooleanOptionalAction,
        help="whether texts are lower-cased, where no file of the tokenizer says so; default: "
        "lower-cased unless the vocabulary has capitals",
    )
    add(
        "--sparse",
        action="store_true",
        help="serve /embed_sparse too, by the masked language model: for one that was trained for "
        "it (SPLADE)",
    )
    add("--force", action="store_true", help="replace OUT if it is a model folder already")
    return parser


if __name__ == "__main__":
    sys.exit(main())
