"""A vocabulary from raw text: BERT's tokenizer, of the text's own script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer

from training.__main__ import main
from training.build_vocabulary import SPECIAL, VocabularyOptions, build_vocabulary
from training.errors import TrainingError
from training.vocabulary import Vocabulary, read_tokenizer

# Georgian has no cases, Greek has accents, Hindi's vowels are marks on letters.
TEXTS = {
    "georgian": "კატა ზის ხალიჩაზე. ძაღლი დარბის პარკში. კატები სხედან ხალიჩებზე.",
    "greek": "Γάτα κάθεται στο χαλί. Σκύλος τρέχει στο πάρκο. Γάτες κάθονται στο χαλί.",
    "hindi": "बिल्ली चटाई पर बैठी है। कुत्ता बाग में दौड़ता है। बिल्लियाँ चटाई पर हैं।",
    "japanese": "猫はマットに座る。犬は公園を走る。猫はマットに寝る。",
}


@pytest.fixture(params=TEXTS)
def text(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.txt"
    path.write_text(f"{TEXTS[request.param]}\n" * 5, encoding="utf-8")
    return path


def test_text_is_spelled_by_its_pieces(text: Path, tmp_path: Path) -> None:
    found = build_vocabulary([text], tmp_path / "v", VocabularyOptions(size=90))
    tokenizer = read_tokenizer(tmp_path / "v")
    line = text.read_text(encoding="utf-8").splitlines()[0]
    tokens = tokenizer.encode(line, add_special_tokens=False).tokens
    assert "[UNK]" not in tokens
    joined = "".join(token.removeprefix("##") for token in tokens)
    assert joined == line.lower().replace(" ", "")
    assert found.unknown == 0
    assert 1 <= found.per_word < 6
    pieces = tokenizer.get_vocab()
    assert len(pieces) == found.pieces <= 90
    assert [pieces[name] for name in SPECIAL] == [0, 1, 2, 3, 4]
    assert Vocabulary.of(tokenizer).pad == 0


def test_frequent_words_are_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{TEXTS['georgian']}\n" * 5, encoding="utf-8")
    build_vocabulary([path], tmp_path / "v", VocabularyOptions(size=500))
    assert read_tokenizer(tmp_path / "v").encode("კატა").tokens == ["[CLS]", "კატა", "[SEP]"]


def test_folder_is_complete(text: Path, tmp_path: Path) -> None:
    build_vocabulary([text], tmp_path / "v", VocabularyOptions(size=70))
    names = sorted(path.name for path in (tmp_path / "v").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    pieces = read_tokenizer(tmp_path / "v").get_vocab()
    listed = (tmp_path / "v" / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert listed == sorted(pieces, key=pieces.__getitem__)


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("strip", [False, True])
def test_transformers_reads_it_as_it_was_made(tmp_path: Path, cased: bool, strip: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{TEXTS['greek']}\n" * 5, encoding="utf-8")
    build_vocabulary(
        [path], tmp_path / "v", VocabularyOptions(size=90, cased=cased, strip_accents=strip)
    )
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "v")
    ours = Tokenizer.from_file(str(tmp_path / "v" / "tokenizer.json"))
    pair = ("Γάτα, κάθεται", "Σκύλος")
    assert theirs(*pair)["input_ids"] == ours.encode(*pair).ids
    assert theirs(*pair)["token_type_ids"] == ours.encode(*pair).type_ids
    assert theirs.model_max_length == 512
    settings = json.loads((tmp_path / "v" / "tokenizer_config.json").read_text())
    assert (settings["do_lower_case"], settings["strip_accents"]) == (not cased, strip)
    assert ("άτα" in ours.decode(ours.encode("Γάτα").ids)) is not strip


def test_command_says_what_was_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{TEXTS['hindi']}\n" * 5, encoding="utf-8")
    main(["vocabulary", str(path), str(tmp_path / "v"), "--cased"])
    shown = capsys.readouterr().out
    assert " pieces (the text has no more); " in shown
    assert "0.00% of them unknown" in shown
    assert f"--tokenizer {tmp_path / 'v'}" in shown
    settings = json.loads((tmp_path / "v" / "tokenizer_config.json").read_text())
    assert settings["do_lower_case"] is False


def test_rare_characters_are_unknown(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ab ab ab\n" * 5 + "zzz\n", encoding="utf-8")
    found = build_vocabulary([path], tmp_path / "v", VocabularyOptions(alphabet=2))
    assert read_tokenizer(tmp_path / "v").encode("z", add_special_tokens=False).tokens == ["[UNK]"]
    assert found.unknown == pytest.approx(1 / 16)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "have no text to make pieces of"),
        (" \n\n", {}, "have no text to make pieces of"),
        ("ab", {"size": 5}, "--size must be above the 5 special pieces"),
        ("ab", {"alphabet": 0}, "--alphabet and --min-frequency must be at least 1"),
    ],
)
def test_what_gives_no_pieces_is_refused_and_nothing_is_written(
    tmp_path: Path, text: str, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        build_vocabulary([path], tmp_path / "v", VocabularyOptions(**options))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab")
    (tmp_path / "v").mkdir()
    with pytest.raises(TrainingError, match="v exists already"):
        build_vocabulary([tmp_path / "a.txt"], tmp_path / "v")
