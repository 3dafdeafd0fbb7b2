"""One source of a corpus, or all but one: by its name and the order and counts of SOURCES.json."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.text import read_documents

DOCUMENTS = [["Kings of old."], ["Bees.", "Wax."], ["Honey."], ["The sea."]]
SOURCES = [
    {"source": "example.org/history", "documents": 1},
    {"source": "example.org/bees", "documents": 2},
    {"source": "example.org/ocean", "documents": 1},
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus of three sources, beside its list of them."""
    text = "\n\n".join("\n".join(paragraphs) for paragraphs in DOCUMENTS)
    (tmp_path / "corpus.txt").write_text(text + "\n", encoding="utf-8")
    (tmp_path / "SOURCES.json").write_text(json.dumps(SOURCES), encoding="utf-8")
    return tmp_path


def corpus_source(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command on the corpus in `folder`, to out.txt there."""
    files = [folder / "corpus.txt", folder / "SOURCES.json"]
    command: list[str | Path] = [sys.executable, "-m", "scripts.corpus_source", *files]
    return subprocess.run(
        [*command, arguments[0], folder / "out.txt", *arguments[1:]],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("more", "kept", "said"),
    [
        ([], DOCUMENTS[1:3], "2 documents, 3 words"),
        (["--without"], [DOCUMENTS[0], DOCUMENTS[3]], "2 documents, 5 words"),
    ],
)
def test_a_source_is_written_alone_or_left_out(
    corpus: Path, more: list[str], kept: list[list[str]], said: str
) -> None:
    done = corpus_source(corpus, "bees", *more)
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr
    assert list(read_documents(corpus / "out.txt", lambda _bytes: None)) == kept


@pytest.mark.parametrize(("name", "count"), [("example.org", 3), ("whales", 0)])
def test_a_name_must_be_that_of_one_source(corpus: Path, name: str, count: int) -> None:
    done = corpus_source(corpus, name)
    assert done.returncode == 2
    assert f"{count} sources are named so" in done.stderr
    assert not (corpus / "out.txt").exists()
