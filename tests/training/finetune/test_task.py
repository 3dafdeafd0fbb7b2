"""Options from flags, and values that cannot be meant."""

from __future__ import annotations

import argparse

import pytest

from training.errors import TrainingError
from training.finetune.task import Options
from training.options import add_flags, given_flags


def chosen(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    add_flags(parser, Options)
    return Options(**given_flags(parser.parse_args(words), Options))


def test_no_flags_give_the_defaults() -> None:
    assert chosen() == Options()


def test_flags_say_otherwise() -> None:
    options = chosen("--batch-size", "7", "--rate", "1e-4", "--max-tokens", "99", "--dropout", "0")
    assert options == Options(batch_size=7, rate=1e-4, max_tokens=99, dropout=0.0)


def test_help_shows_each_default_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chosen("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "so many of these batches make a step, for less memory (default: 1)" in shown
    assert "(default: None)" not in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--epochs -1", "--epochs must be a number of at least 0"),
        ("--batch-size -1", "--batch-size must be a number of at least 0"),
        ("--accumulate 0", "--accumulate must be at least 1"),
        ("--precision fp16", "--precision must be one of fp32, bf16"),
        ("--class-weights yes", "--class-weights must be one of none, balanced"),
        ("--overlap -1", "--overlap must be a number of at least 0"),
        ("--patience 0", "--patience must be at least 1"),
        ("--rate -1", "--rate must be a number of at least 0"),
        ("--rate nan", "--rate must be a number of at least 0"),
        ("--rate inf", "--rate must be a number of at least 0"),
        ("--warm-up 1", "--warm-up must be at least 0 and below 1"),
        ("--dropout -0.1", "--dropout must be at least 0 and below 1"),
        ("--seed -1", "--seed must be a number of at least 0"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(words: str, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence):
        chosen(*words.split())
