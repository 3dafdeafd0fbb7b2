"""The command: what is measured of which checkpoint, and what is written."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.evaluate.conftest import save_tiny
from training.errors import TrainingError
from training.evaluate import command

MASKED = ["top1", "top5", "mask_only_top1", "mask_only_top5", "perplexity", "share"]
MLM = [*(f"masked.{name}" for name in MASKED), "pseudo_perplexity"]
NSP = ["nsp.random", "nsp.hard", "nsp.short"]
PROMPTS = [f"prompts.{kind}top{top}" for kind in ("", "fact.", "sense.") for top in (1, 5)]


@pytest.fixture
def stsb(tmp_path: Path) -> Path:
    """Four rated pairs."""
    path = tmp_path / "pairs.csv"
    path.write_text(
        "The cat sat.,A cat sat.,4\nThe dog ran.,Paris and London.,0\n"
        "A red tree.,A blue tree.,2\nThe boy saw a girl.,The girl saw a boy.,3\n"
    )
    return path


def evaluate(*arguments: str | Path) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.run(parser.parse_args([str(argument) for argument in arguments]))


def figures(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["figures"]
    return found


def test_everything_is_measured_of_a_checkpoint_with_both_heads(
    tiny: Path,
    corpus_folder: Path,
    stsb: Path,
    prompts_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "figures.json"
    material = ("--corpus", corpus_folder, "--stsb", stsb, "--prompts", prompts_file)
    evaluate(tiny, *material, "--json", out)
    measured = figures(out)
    assert list(measured) == [*MLM, *NSP, "sts.spearman", *PROMPTS]
    printed = capsys.readouterr().out
    assert printed.startswith("### tiny (heads: mlm, nsp; ")
    for row in measured.values():
        assert f"| {row['name']} |" in printed
    assert str(tmp_path) not in printed + out.read_text(), "names, not places"


def test_figures_are_the_same_each_time(
    tiny: Path, corpus_folder: Path, prompts_file: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        out = tmp_path / name
        evaluate(tiny, "--corpus", corpus_folder, "--prompts", prompts_file, "--json", out)
    assert figures(tmp_path / "one") == figures(tmp_path / "two")


@pytest.mark.parametrize(
    ("architecture", "wanted"),
    [
        ("BertForMaskedLM", [*MLM, "sts.spearman", *PROMPTS]),
        ("BertForNextSentencePrediction", [*NSP, "sts.spearman"]),
        ("BertModel", ["sts.spearman"]),
    ],
)
def test_checkpoint_is_measured_only_for_what_it_has(
    corpus_folder: Path,
    stsb: Path,
    prompts_file: Path,
    tmp_path: Path,
    architecture: str,
    wanted: list[str],
) -> None:
    folder, out = save_tiny(tmp_path / "checkpoint", architecture), tmp_path / "figures.json"
    evaluate(
        folder, "--corpus", corpus_folder, "--stsb", stsb, "--prompts", prompts_file, "--json", out
    )
    assert list(figures(out)) == wanted


def test_encoder_alone_without_rated_pairs_has_nothing_to_measure(
    corpus_folder: Path, tmp_path: Path
) -> None:
    folder = save_tiny(tmp_path / "encoder", "BertModel")
    with pytest.raises(TrainingError, match="nothing to measure encoder by"):
        evaluate(folder, "--corpus", corpus_folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json", "no/such/folder/out.json"), "does not exist"),
        (("--threads", "0"), "at least 1"),
        (("--corpus", "no-corpus"), "not a corpus"),
        (("--prompts", "no-prompts"), "cannot be read"),
    ],
)
def test_wrong_options_are_one_sentence(
    tiny: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        evaluate(tiny, *arguments)


def test_conditions_say_what_was_read(
    tiny: Path, prompts_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    evaluate(tiny, "--prompts", prompts_file, "--json", out)
    document = json.loads(out.read_text())
    assert {"seed", "prompts_sha256", "torch", "date", "threads"} <= set(document)
    assert f"seed {document['seed']}; prompts_sha256 {document['prompts_sha256']}" in (
        capsys.readouterr().out
    )
