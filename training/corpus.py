"""Text files in, a corpus folder out: documents -> sentences -> ids of word pieces on disk.

The format, and `Corpus.open`, are `training.stored_corpus`'s. Knows nothing of masks or batches.
"""

import argparse
import hashlib
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from training.errors import TrainingError
from training.stored_corpus import (
    DESCRIPTION,
    SPLITS,
    VERSION,
    Corpus,
    Split,
    SplitWriter,
    sha256_of,
    token_dtype,
)
from training.text import Document, TextFile, find_files, read_documents, split_sentences
from training.vocabulary import TOKENIZER_FILE, Vocabulary, read_tokenizer

__all__ = ["Corpus", "add_arguments", "build_corpus", "run"]

_CHUNK = 1 << 20  # characters that are tokenised at a time; enough to keep all cores busy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m training corpus`."""
    parser.add_argument("inputs", nargs="+", type=Path, help="files of text, or folders")
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument(
        "--tokenizer", type=Path, required=True, help="a tokenizer.json, or a folder with one"
    )
    parser.add_argument(
        "--unordered", nargs="+", type=Path, default=[], metavar="INPUT",
        help="inputs, or more of them, whose sentences do not follow one another (lists of words "
        "with their meanings): they are learnt one by one, and no pairs are made of them",
    )  # fmt: skip
    parser.add_argument(
        "--held-out", type=float, default=0.01, help="share of documents kept for evaluation"
    )


def run(args: argparse.Namespace) -> None:
    """Build the corpus and say how large it is."""
    splits = build_corpus(
        args.inputs, args.tokenizer, args.out, held_out=args.held_out, unordered=args.unordered
    )
    for split, counts in splits.items():
        shown = {name: count for name, count in counts.items() if count or name != "unordered"}
        sizes = ", ".join(f"{count:,} {name}" for name, count in shown.items())
        sys.stdout.write(f"{split}: {sizes}\n")


def build_corpus(
    inputs: Sequence[Path],
    tokenizer: Path,
    out: Path,
    *,
    held_out: float = 0.01,
    unordered: Sequence[Path] = (),
) -> dict[str, dict[str, int]]:
    """Tokenise text files into the folder `out`, which appears only once it is complete.

    Args:
        inputs: .txt, .txt.xz or .txt.gz files, in which a blank line ends a document and a line is
            a paragraph; .md files, and folders of any of them, in which each file is a document.
        tokenizer: a WordPiece tokenizer.json, or a folder with one.
        out: the folder to make.
        held_out: the share of documents that go to the held-out split.
        unordered: of the inputs, or further ones: their sentences do not follow one another.

    Returns:
        What is in each split, by its name.

    Raises:
        TrainingError: an input cannot be used, or `out` is already there.
    """
    tokenizer = tokenizer / TOKENIZER_FILE if tokenizer.is_dir() else tokenizer
    vocabulary = Vocabulary.of(read_tokenizer(tokenizer))
    if not [*inputs, *unordered]:
        raise TrainingError("There is no input: name files of text, or folders.")
    apart = [replace(file, ordered=False) for file in find_files(unordered)]
    files = [*find_files(path for path in inputs if path not in unordered), *apart]
    if not 0 <= held_out < 1:
        raise TrainingError("The held-out share must be at least 0 and below 1.")
    if out.exists():
        raise TrainingError(f"{out} is already there; remove it or choose another folder.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as temporary:
        folder = Path(temporary, "corpus")
        folder.mkdir()
        shutil.copyfile(tokenizer, folder / TOKENIZER_FILE)
        dtype = token_dtype(vocabulary.size)
        splits = _write_splits(files, tokenizer, folder, dtype, held_out)
        description = {
            "version": VERSION,
            "vocabulary_size": vocabulary.size,
            "dtype": str(dtype),
            "held_out": held_out,
            "splits": splits,
            "tokenizer_sha256": sha256_of(tokenizer),
            "inputs": [
                {"name": file.name, "sha256": sha256_of(file.path)}
                | ({} if file.ordered else {"unordered": True})
                for file in files
            ],
        }
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        folder.rename(out)
        return splits


def _write_splits(
    inputs: Sequence[TextFile], tokenizer: Path, folder: Path, dtype: np.dtype[Any], held_out: float
) -> dict[str, dict[str, int]]:
    """Write the arrays of both splits and count what is in them."""
    encoder = read_tokenizer(tokenizer, plain=True)
    with (
        SplitWriter(folder / SPLITS[0], dtype) as train,
        SplitWriter(folder / SPLITS[1], dtype) as kept,
    ):
        writers = {"train": train, "held-out": kept}
        measured: set[bytes] = set()
        for document, ids, ordered in _tokenised(inputs, encoder):
            split = split_of(document, held_out)
            # Inputs may be repeated to train on them more; a measurement counts them once.
            if split == "held-out":
                if _digest(document) in measured:
                    continue
                measured.add(_digest(document))
            writers[split].add(ids, ordered=ordered)
        documents, kept_documents = train.counts["documents"], kept.counts["documents"]
        if documents + kept_documents == 0:
            raise TrainingError("The inputs have no text to train on.")
        if documents == 0:
            raise TrainingError(
                f"All {kept_documents} documents fell to the held-out part; give a smaller "
                f"--held-out than {held_out:g}."
            )
        if held_out and kept_documents == 0:
            raise TrainingError(
                f"None of the {documents} documents fell to the held-out part; give a larger "
                f"--held-out than {held_out:g}, such as {_enough(documents):g}, or --held-out 0 "
                "and pretrain with --measure-batches 0."
            )
        return {split: writer.counts for split, writer in writers.items()}


def _tokenised(
    inputs: Sequence[TextFile], encoder: Tokenizer
) -> Iterator[tuple[Document, list[list[int]], bool]]:
    """Each document, the ids of each of its sentences, and whether these have an order."""
    for chunk in _chunks(inputs):
        documents = [[s for p in document for s in split_sentences(p)] for document, _ in chunk]
        sentences = [sentence for document in documents for sentence in document]
        encodings = iter(encoder.encode_batch_fast(sentences, add_special_tokens=False))
        for (document, ordered), own in zip(chunk, documents, strict=True):
            yield document, [next(encodings).ids for _ in own], ordered


def _chunks(inputs: Sequence[TextFile]) -> Iterator[list[tuple[Document, bool]]]:
    """The documents of all inputs, some `_CHUNK` characters at a time; whether they have order."""
    chunk: list[tuple[Document, bool]] = []
    characters = 0
    total = sum(file.path.stat().st_size for file in inputs)
    with tqdm(total=total, unit="B", unit_scale=True, desc="corpus", disable=None) as bar:
        for file in inputs:
            for document in read_documents(file.path, bar.update, whole=file.whole):
                chunk.append((document, file.ordered))
                characters += sum(map(len, document))
                if characters >= _CHUNK:
                    yield chunk
                    chunk, characters = [], 0
    if chunk:
        yield chunk


def _enough(documents: int) -> float:
    """A share of documents by which some are as good as surely held out: five, or a half of few.

    >>> _enough(60), _enough(4)
    (0.09, 0.5)
    """
    return min(0.5, math.ceil(500 / documents) / 100)


def split_of(document: Document, held_out: float) -> Split:
    """The split of a document, by its text alone: copies fall on one side, in whatever order.

    >>> split_of(["One paragraph."], 0.0), split_of(["One paragraph."], 0.9)
    ('train', 'held-out')
    """
    share = int.from_bytes(_digest(document)[:8], "big") / (1 << 64)  # uniform in [0, 1)
    return "held-out" if share < held_out else "train"


def _digest(document: Document) -> bytes:
    return hashlib.sha256("\n".join(document).encode()).digest()
