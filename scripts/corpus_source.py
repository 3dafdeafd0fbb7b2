"""One source of a corpus out: `python -m scripts.corpus_source CORPUS SOURCES NAME OUT`.

A corpus of several sources lists them, in order and with their counts of documents, in a
SOURCES.json. What this writes can be given to `python -m training corpus` beside the corpus, to
train on that source more often; with `--without` it is the corpus without that source, to train
on all the others alone.
"""

import argparse
import json
from itertools import accumulate, pairwise
from pathlib import Path

from training.text import read_documents


def main() -> None:
    """Write the documents of the source whose name contains NAME, or all others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="text, documents separated by blank lines")
    parser.add_argument("sources", type=Path, help="JSON list with `source` and `documents`")
    parser.add_argument("name", help="part of the source's name")
    parser.add_argument("out", type=Path, help="text file to write")
    parser.add_argument("--without", action="store_true", help="write all but that source")
    arguments = parser.parse_args()
    sources = json.loads(arguments.sources.read_text(encoding="utf-8"))
    bounds = pairwise(accumulate((source["documents"] for source in sources), initial=0))
    spans = [
        span
        for source, span in zip(sources, bounds, strict=True)
        if arguments.name in source["source"]
    ]
    if len(spans) != 1:
        parser.error(f"{len(spans)} sources are named so; name one.")
    documents = list(read_documents(arguments.corpus, lambda _bytes: None))
    first, after = spans[0]
    chosen = documents[first:after]
    if arguments.without:
        chosen = documents[:first] + documents[after:]
    text = "\n\n".join("\n".join(paragraphs) for paragraphs in chosen)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    print(f"{len(chosen)} documents, {len(text.split())} words")


if __name__ == "__main__":
    main()
