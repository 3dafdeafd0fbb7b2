"""Building a corpus and opening it again."""

from __future__ import annotations

import argparse
import json
import lzma
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.training.small_corpus import SPECIAL, WORDS, write_tokenizer
from training.corpus import Corpus, add_arguments, build_corpus, run, split_of
from training.errors import TrainingError
from training.text import split_sentences

VERBS = ("sat", "ran", "plays", "parked", "playing")
DOCUMENTS = [
    [f"The cat {verb} on a mat. The dog {verb}! The {'cat ' * number}ran.", "A cat sat?"]
    for number in range(20)
    for verb in VERBS
]


def write_text(path: Path, documents: list[list[str]]) -> Path:
    path.write_text("\n\n".join("\n".join(document) for document in documents))
    return path


def spelled(corpus: Corpus) -> list[list[str]]:
    """The documents of a corpus as lists of sentences, of pieces joined by spaces."""
    pieces = np.array([*SPECIAL, *WORDS])
    sentences = [
        " ".join(pieces[corpus.tokens[start:end]]) for start, end in pairwise(corpus.sentences)
    ]
    return [sentences[start:end] for start, end in pairwise(corpus.documents)]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path)


@pytest.fixture
def built(tmp_path: Path, tokenizer: Path) -> Path:
    build_corpus(
        [write_text(tmp_path / "a.txt", DOCUMENTS)], tokenizer, tmp_path / "out", held_out=0.2
    )
    return tmp_path / "out"


def test_every_document_is_found_again_in_one_split(built: Path, tokenizer: Path) -> None:
    encoder = Tokenizer.from_file(str(tokenizer))
    expected = [
        [
            " ".join(encoder.encode(sentence).tokens)
            for paragraph in document
            for sentence in split_sentences(paragraph)
        ]
        for document in DOCUMENTS
    ]
    train, held_out = (spelled(Corpus.open(built, split)) for split in ("train", "held-out"))
    assert len(expected[0]) == 4
    assert sorted(train + held_out) == sorted(expected)
    assert 5 <= len(held_out) <= 40  # of 100, where 20 are expected
    kept = iter(expected)
    assert all(any(document == other for other in kept) for document in train)  # in order


def test_the_split_does_not_depend_on_the_order_of_documents(
    tmp_path: Path, tokenizer: Path, built: Path
) -> None:
    names = [
        write_text(tmp_path / "b.txt", DOCUMENTS[:30:-1]),
        write_text(tmp_path / "c.txt", DOCUMENTS[30::-1] + DOCUMENTS[:5]),  # with copies
    ]
    build_corpus(names, tokenizer, tmp_path / "other", held_out=0.2)
    first, second = (spelled(Corpus.open(out, "held-out")) for out in (built, tmp_path / "other"))
    assert {tuple(document) for document in first} == {tuple(document) for document in second}


def test_a_copy_trains_twice_but_is_measured_once(
    tmp_path: Path, tokenizer: Path, built: Path
) -> None:
    text = tmp_path / "a.txt"
    build_corpus([text, text], tokenizer, tmp_path / "twice", held_out=0.2)
    train, held_out = (spelled(Corpus.open(built, split)) for split in ("train", "held-out"))
    assert spelled(Corpus.open(tmp_path / "twice", "train")) == train + train
    assert spelled(Corpus.open(tmp_path / "twice", "held-out")) == held_out


def test_the_asked_share_is_held_out() -> None:
    splits = [split_of([f"Text {number}."], 0.2) for number in range(4000)]
    assert abs(splits.count("held-out") / 4000 - 0.2) < 5 * (0.2 * 0.8 / 4000) ** 0.5


def test_arrays_have_the_types_of_the_format(built: Path) -> None:
    corpus = Corpus.open(built, "train")
    assert corpus.tokens.dtype == np.dtype(np.uint16)
    assert (corpus.sentences.dtype.name, corpus.documents.dtype.name) == ("int64", "int64")
    assert (corpus.sentences[0], corpus.sentences[-1]) == (0, corpus.tokens.size)
    assert (corpus.documents[0], corpus.documents[-1]) == (0, len(corpus.sentences) - 1)


def test_a_limit_of_length_in_the_tokenizer_is_not_heeded(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path, max_length=3)
    text = write_text(tmp_path / "a.txt", [["The cat sat on a mat."]])
    build_corpus([text], tokenizer.parent, tmp_path / "out", held_out=0)
    assert spelled(Corpus.open(tmp_path / "out", "train")) == [["the cat sat on a mat ."]]


def test_text_cannot_spell_a_special_token(tmp_path: Path, tokenizer: Path) -> None:
    text = write_text(tmp_path / "a.txt", [["The [MASK] sat."]])
    build_corpus([text], tokenizer, tmp_path / "out", held_out=0)
    assert spelled(Corpus.open(tmp_path / "out", "train")) == [["the [ mask ] sat ."]]


def test_what_has_no_tokens_is_left_out(tmp_path: Path, tokenizer: Path) -> None:
    nothing = "\u200b\u200b"  # zero-width spaces, which the normalizer removes
    text = write_text(tmp_path / "a.txt", [[nothing], ["A cat.", nothing, "A dog."], [nothing]])
    build_corpus([text], tokenizer, tmp_path / "out", held_out=0)
    assert spelled(Corpus.open(tmp_path / "out", "train")) == [["a cat .", "a dog ."]]


def test_the_description_names_inputs_and_counts(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(b"A cat sat.\n\nA dog ran. A mat."))
    build_corpus([tmp_path / "a.txt.xz"], tokenizer, tmp_path / "out", held_out=0)
    text = (tmp_path / "out" / "corpus.json").read_text()
    description = json.loads(text)
    assert description["splits"] == {
        "train": {"documents": 2, "sentences": 3, "tokens": 11, "unordered": 0},
        "held-out": {"documents": 0, "sentences": 0, "tokens": 0, "unordered": 0},
    }
    assert description["inputs"][0]["name"] == "a.txt.xz"
    assert str(tmp_path) not in text
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == tokenizer.read_bytes()


def test_an_empty_split_cannot_be_opened(tmp_path: Path, tokenizer: Path) -> None:
    text = write_text(tmp_path / "a.txt", [["A cat."]])
    build_corpus([text], tokenizer, tmp_path / "out", held_out=0)
    with pytest.raises(TrainingError, match=r"held-out split .* has no documents"):
        Corpus.open(tmp_path / "out", "held-out")


@pytest.mark.parametrize("name", ["tokens", "sentences", "documents"])
def test_a_truncated_array_is_an_error(built: Path, name: str) -> None:
    path = built / "train" / f"{name}.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(TrainingError, match=rf"{name}\.bin has .* build it again"):
        Corpus.open(built, "train")


def test_arrays_that_do_not_fit_together_are_an_error(built: Path) -> None:
    path = built / "train" / "documents.bin"
    offsets = np.fromfile(path, np.int64)
    offsets[-1] += 1
    offsets.tofile(path)
    with pytest.raises(TrainingError, match="do not fit together"):
        Corpus.open(built, "train")


def test_another_tokenizer_in_the_folder_is_an_error(built: Path) -> None:
    path = built / "tokenizer.json"
    path.write_text(path.read_text().replace("park", "bark"))
    with pytest.raises(TrainingError, match="not the tokenizer"):
        Corpus.open(built, "train")


def test_a_folder_that_is_no_corpus_is_an_error(tmp_path: Path, built: Path) -> None:
    with pytest.raises(TrainingError, match="is not a corpus"):
        Corpus.open(tmp_path, "train")
    path = built / "corpus.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(TrainingError, match="format 1"):
        Corpus.open(built, "train")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in" / "bad.txt"
    bad.write_bytes(b"A cat.\n\n\xff")
    with pytest.raises(TrainingError, match="UTF-8"):
        build_corpus([bad], tokenizer, tmp_path / "corpora" / "out")
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_corpus_is_not_overwritten(built: Path, tokenizer: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="already there"):
        build_corpus([tmp_path / "a.txt"], tokenizer, built)
    assert len(spelled(Corpus.open(built, "train"))) > 50


def test_nothing_to_train_on_is_an_error(tmp_path: Path, tokenizer: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(TrainingError, match="no text"):
        build_corpus([tmp_path / "empty.txt"], tokenizer, tmp_path / "out")


def test_a_corpus_without_its_held_out_part_is_refused_where_it_is_made(
    tmp_path: Path, tokenizer: Path
) -> None:
    text = write_text(tmp_path / "a.txt", [[f"A cat sat {'. A dog ran' * n}."] for n in range(7)])
    expected = r"None of the 7 documents fell .* larger --held-out than 1e-09, such as 0\.5, or"
    with pytest.raises(TrainingError, match=expected):
        build_corpus([text], tokenizer, tmp_path / "out", held_out=1e-9)
    with pytest.raises(TrainingError, match=r"All 7 documents fell .* smaller --held-out than"):
        build_corpus([text], tokenizer, tmp_path / "out", held_out=1 - 1e-9)
    assert not (tmp_path / "out").exists()
    build_corpus([text], tokenizer, tmp_path / "out", held_out=0.5)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_held_out_share_must_leave_text_to_train_on(
    tmp_path: Path, tokenizer: Path, share: float
) -> None:
    text = write_text(tmp_path / "a.txt", DOCUMENTS)
    with pytest.raises(TrainingError, match="held-out share"):
        build_corpus([text], tokenizer, tmp_path / "out", held_out=share)


def test_the_command_builds_and_counts(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_text(tmp_path / "a.txt", [["A cat sat. A dog ran."]])
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [text, tmp_path / "out", "--tokenizer", tokenizer, "--held-out", "0"]
    run(parser.parse_args([str(word) for word in words]))
    assert "train: 1 documents, 2 sentences, 8 tokens\n" in capsys.readouterr().out


def test_lists_are_kept_apart_and_reopened_as_such(
    tmp_path: Path, tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_text(tmp_path / "a.txt", DOCUMENTS)
    lists = write_text(tmp_path / "b.txt", [[f"The mat. {'A dog. ' * n}"] for n in range(1, 40)])
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [text, tmp_path / "out", "--tokenizer", tokenizer, "--held-out", 0.2, "--unordered",
             lists]  # fmt: skip
    run(parser.parse_args([str(word) for word in words]))
    shown = capsys.readouterr().out.splitlines()
    both = [Corpus.open(tmp_path / "out", split) for split in ("train", "held-out")]
    counts = []
    for corpus in both:
        assert corpus.unordered is not None
        ordered = [document[0].startswith("the cat") for document in spelled(corpus)]
        assert corpus.unordered.tolist() == [not flag for flag in ordered]
        counts.append(int(corpus.unordered.sum()))
    assert sum(counts) == 39
    for line, count in zip(shown, counts, strict=True):
        assert line.endswith(f", {count} unordered")
    description = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert [entry.get("unordered", False) for entry in description["inputs"]] == [False, True]


def test_a_corpus_of_before_has_an_order_throughout(built: Path) -> None:
    """Its description counts no lists, and there is no file of them."""
    path = built / "corpus.json"
    description = json.loads(path.read_text())
    for split in ("train", "held-out"):
        assert description["splits"][split].pop("unordered") == 0
        (built / split / "unordered.bin").unlink()
    path.write_text(json.dumps(description))
    assert Corpus.open(built, "train").unordered is None


def test_a_corpus_of_lists_alone_has_them_once(tmp_path: Path, tokenizer: Path) -> None:
    text = write_text(tmp_path / "a.txt", DOCUMENTS)
    build_corpus([text], tokenizer, tmp_path / "out", held_out=0, unordered=[text])
    corpus = Corpus.open(tmp_path / "out", "train")
    assert corpus.unordered is not None
    assert corpus.unordered.tolist() == [True] * len(DOCUMENTS)


def test_a_corpus_of_nothing_is_refused(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(TrainingError, match="There is no input"):
        build_corpus([], tokenizer, tmp_path / "out")
