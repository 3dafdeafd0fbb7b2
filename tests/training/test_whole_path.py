"""Text -> corpus -> pre-training -> export -> POST /fill-mask, each by its own command."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.running_server import RunningServer
from tests.training.pretrain.conftest import REPOSITORY, environment
from tests.training.small_corpus import write_tokenizer
from training.__main__ import COMMANDS, main

# A language of two sentences: each word tells the others of its sentence.
SENTENCES = ("The cat sat on mat.", "A dog ran park!")
HINDI = ("बिल्ली चटाई पर बैठी है।", "कुत्ता बाग में दौड़ता था।")


def python_m(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=REPOSITORY, env=environment(), capture_output=True, check=True,
    )  # fmt: skip


def documents_of(sentences: tuple[str, str]) -> str:
    """Sixty documents, each of a length of its own: equal ones would all be on one side."""
    documents = [" ".join([sentences[number % 2]] * (4 + number)) for number in range(60)]
    return "\n\n".join(documents) + "\n"


def served(text: Path, tokenizer: Path, folder: Path, serve: Serve) -> RunningServer:
    """A server of a model that learnt `text` from nothing."""
    corpus = folder / "corpus"
    main(["corpus", *map(str, (text, corpus)), "--tokenizer", str(tokenizer), "--held-out", "0.1"])
    python_m(
        "training", "pretrain", corpus, folder / "run", "--init", "bert-tiny",
        "--sequence-tokens", "32", "--single", "1", "--short", "0", "--batch-tokens", "512",
        "--tokens", str(512 * 160), "--rate", "2e-3", "--dropout", "0",
    )  # fmt: skip
    python_m("export", folder / "run" / "final", folder / "models" / "tiny", "--precision", "fp32")
    return serve(folder / "models" / "tiny")


def test_text_becomes_a_server_that_fills_its_masks(tmp_path: Path, serve: Serve) -> None:
    text = tmp_path / "text.txt"
    text.write_text(documents_of(SENTENCES))
    write_tokenizer(tmp_path)
    server = served(text, tmp_path, tmp_path, serve)
    for masked, expected in (
        ("the [MASK] sat on mat.", "cat"),
        ("a dog [MASK] park!", "ran"),
        ("the cat sat on [MASK].", "mat"),
    ):
        answer = server.post("/fill-mask", {"inputs": masked}).json()
        assert answer[0]["token_str"] == expected
    pair = {"inputs": [[SENTENCES[0], SENTENCES[0]]]}
    assert server.post("/nsp", pair).status_code == 200


def test_text_in_another_script_becomes_a_server_without_any_checkpoint(
    tmp_path: Path, serve: Serve
) -> None:
    """Hindi, whose vowels are marks on letters, and whose sentences end in a stroke."""
    text = tmp_path / "text.txt"
    text.write_text(documents_of(HINDI), encoding="utf-8")
    main(["vocabulary", str(text), str(tmp_path / "vocabulary")])
    server = served(text, tmp_path / "vocabulary", tmp_path, serve)
    for masked, expected in (
        ("बिल्ली [MASK] पर बैठी है।", "चटाई"),
        ("कुत्ता बाग में [MASK] था।", "दौड़ता"),
    ):
        answer = server.post("/fill-mask", {"inputs": masked}).json()
        assert answer[0]["token_str"] == expected
        assert answer[0]["sequence"] == masked.replace("[MASK]", expected).replace("।", " ।")


def test_commands_are_listed() -> None:
    line = [sys.executable, "-m", "training", "--help"]
    shown = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert all(command in shown.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f" {command} " in shown.splitlines()[0]
    assert len(shown.splitlines()) > 5
