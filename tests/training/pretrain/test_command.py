"""`python -m training pretrain` as its users run it: learning, stopping, going on."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.pretrain.conftest import (
    REPOSITORY,
    SMALL_RECIPE,
    Train,
    command,
    environment,
    pretrain_here,
)
from training.checkpoint import load_encoder
from training.config import named_config
from training.corpus import Corpus
from training.interruption import INTERRUPTED
from training.objectives import Objective, PairTensors
from training.optimiser import descend, make_adamw
from training.pretrain.command import BETA2, start_model
from training.pretrain.loop import RunBatches
from training.pretrain.recipe import make_recipe
from training.pretrain.run_folder import RunFolder


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(run / "final" / "model.safetensors")
    return tensors


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the run ended before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="session")
def uninterrupted(corpus_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "uninterrupted"
    pretrain_here(corpus_folder, out, "--report-every", "1")
    return out


def test_tiny_run_lowers_the_loss(pretrain: Train, tmp_path: Path) -> None:
    pretrain(
        tmp_path / "run", "--tokens", str(512 * 300), "--dropout", "0", "--report-every", "10",
        "--measure-every", "100", "--save-every", "1000",
    )  # fmt: skip
    reports = [line for line in metrics(tmp_path / "run") if "masked_words" in line]
    held_out = [line for line in metrics(tmp_path / "run") if "held_out_loss" in line]
    # The most frequent piece everywhere would be right in 0.23 of the cases, at a loss of 2.3.
    assert reports[0]["masked_words"] > 2.3
    assert reports[-1]["masked_words"] < 1.5
    assert held_out[-1]["held_out_loss"] < 1.6
    assert held_out[-1]["held_out_accuracy"] > 0.4
    assert (tmp_path / "run" / "curves.svg").read_text().count("million tokens") >= 2


def test_run_that_is_killed_goes_on_to_the_same_weights(
    corpus_folder: Path, uninterrupted: Path, pretrain: Train, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    flags = ("--report-every", "1", "--save-every", "3")
    with subprocess.Popen(
        command("pretrain", corpus_folder, out, *SMALL_RECIPE, *flags),
        cwd=REPOSITORY,
        env=environment(),
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(lambda: any(out.glob("checkpoints/step-*/training_state.pt")), process)
        process.kill()
    assert not (out / "final").exists()
    pretrain(out, *flags)
    assert_same_weights(out, uninterrupted)
    steps = [line["step"] for line in metrics(out) if "masked_words" in line]
    assert steps == list(range(1, 13))


def test_run_that_rounds_at_its_end_goes_on_to_the_same_weights(
    pretrain: Train, uninterrupted: Path, tmp_path: Path
) -> None:
    flags = ("--int8-part", "0.5", "--report-every", "1")
    pretrain(tmp_path / "whole", *flags)
    # Cut after step 9 of 12, when the products have been rounded for three steps.
    pretrain(tmp_path / "cut", *flags, "--save-every", "3")
    shutil.rmtree(tmp_path / "cut" / "final")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000012")
    pretrain(tmp_path / "cut", *flags)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")
    losses = [
        [line["total"] for line in metrics(run) if "total" in line]
        for run in (tmp_path / "whole", uninterrupted)
    ]
    assert losses[0][:6] == losses[1][:6]
    assert all(one != other for one, other in zip(losses[0][6:], losses[1][6:], strict=True))


def test_run_for_the_mean_of_its_weights_goes_on_to_the_same_one(
    pretrain: Train, uninterrupted: Path, tmp_path: Path
) -> None:
    flags = ("--average", "0.75", "--save-every", "3", "--measure-every", "3")
    pretrain(tmp_path / "whole", *flags)
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "final")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000012")
    pretrain(tmp_path / "cut", *flags)
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")
    measured = [
        [line for line in metrics(tmp_path / run) if "held_out_loss" in line]
        for run in ("cut", "whole")
    ]
    assert measured[0] == measured[1]
    # The steps were those of a run without a mean, but the mean is what is kept at the end.
    last = tmp_path / "whole" / "checkpoints" / "step-00000012"
    raw = load_file(last / "model.safetensors")
    assert all(torch.equal(raw[name], value) for name, value in weights(uninterrupted).items())
    mean = torch.load(last / "training_state.pt", weights_only=True)["average"]
    final = weights(tmp_path / "whole")
    assert all(torch.equal(mean[f"module.{name}"], value) for name, value in final.items())


def test_next_sentences_are_reported_over_the_batches_that_have_pairs(
    pretrain: Train, tmp_path: Path
) -> None:
    flags = ("--alone", "0.85", "--unmasked", "0.5")
    reports = []
    for every in ("1", "12"):
        pretrain(tmp_path / every, *flags, "--report-every", every)
        reports.append([line for line in metrics(tmp_path / every) if "total" in line])
    assert_same_weights(tmp_path / "1", tmp_path / "12")
    with_pairs = [line for line in reports[0] if line["next_sentence"]]
    assert 0 < len(with_pairs) < 12
    for part in ("next_sentence", "next_accuracy"):
        mean = sum(line[part] for line in with_pairs) / len(with_pairs)
        assert reports[1][0][part] == pytest.approx(mean, abs=2e-5)


def test_signal_ends_a_run_after_a_step_and_it_goes_on(
    uninterrupted: Path, pretrain: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    report = RunFolder.report

    def report_and_signal(folder: RunFolder, values: dict[str, Any]) -> None:
        report(folder, values)
        signal.raise_signal(signal.SIGTERM)  # in the third step

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "report", report_and_signal)
        with pytest.raises(SystemExit) as stopped:
            pretrain(out, "--report-every", "3")
    assert stopped.value.code == INTERRUPTED
    assert [path.name for path in out.glob("checkpoints/step-*")] == ["step-00000003"]
    pretrain(out, "--report-every", "1")
    assert_same_weights(out, uninterrupted)


def test_signal_before_the_first_report_ends_a_run_alike(
    uninterrupted: Path,
    pretrain: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    save = RunFolder.save

    def save_and_signal(*arguments: Any) -> None:
        save(*arguments)
        signal.raise_signal(signal.SIGINT)  # in the first step

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_and_signal)
        with pytest.raises(SystemExit) as stopped:
            pretrain(out, "--report-every", "100", "--save-every", "1")
    assert stopped.value.code == INTERRUPTED
    assert "Stopped after step 1; the same command goes on." in capsys.readouterr().err
    assert not (out / "curves.svg").exists()
    pretrain(out, "--report-every", "1")
    assert_same_weights(out, uninterrupted)


def test_finished_run_is_not_trained_again(uninterrupted: Path, pretrain: Train) -> None:
    before = (uninterrupted / "metrics.jsonl").read_text()
    pretrain(uninterrupted, "--report-every", "1")
    assert (uninterrupted / "metrics.jsonl").read_text() == before


def test_micro_batches_add_up_to_one_step(
    corpus_folder: Path, pretrain: Train, tmp_path: Path
) -> None:
    flags = ("--dropout", "0", "--tokens", str(512 * 3), "--accumulate", "3")
    pretrain(tmp_path / "run", *flags, "--report-every", "1")
    recipe = make_recipe(json.loads((tmp_path / "run" / "run.json").read_text())["recipe"])
    corpus = Corpus.open(corpus_folder, "train")
    torch.manual_seed(recipe.seed)
    model = start_model(recipe, corpus)
    objective, batches = Objective(model), RunBatches(corpus, recipe)
    pairs = [PairTensors.of(batches.batch(n).pairs, torch.device("cpu")) for n in range(3)]
    mean = torch.stack([objective.losses(batch).total for batch in pairs]).mean()
    mean.backward()  # type: ignore[no-untyped-call]
    descend(make_adamw(model, recipe.rate, beta2=BETA2), model, recipe.rate_at(0))
    assert recipe.steps == 1
    assert metrics(tmp_path / "run")[0]["total"] == pytest.approx(mean.item(), abs=2e-5)
    found, expected = weights(tmp_path / "run"), model.state_dict()
    assert max(float((found[name] - expected[name]).abs().max()) for name in found) < 1e-5


def test_encoder_and_teacher_from_a_checkpoint(
    uninterrupted: Path, pretrain: Train, tmp_path: Path
) -> None:
    final = str(uninterrupted / "final")
    flags = ("--init", final, "--teacher", final, "--distillation", "10", "--sentences", "4")
    pretrain(
        tmp_path / "run", *flags, "--precision", "bf16", "--long-tokens", "48",
        "--long-part", "0.5", "--single", "0.3", "--report-every", "1", "--tokens", str(512 * 4),
    )  # fmt: skip
    reports = [line for line in metrics(tmp_path / "run") if "total" in line]
    # The student begins as its teacher, up to the products' half precision.
    assert reports[0]["distillation"] < 0.02
    assert reports[-1]["step"] == 4


def test_another_recipe_does_not_continue_a_run(
    uninterrupted: Path, pretrain: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        pretrain(uninterrupted, "--rate", "0.5")
    assert stopped.value.code == 2
    assert "began with another `rate`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--init", "bert-huge"), "holds no config.json"),
        (("--schedule", "wavy"), "`schedule` is one of linear, stable."),
        (("--distillation", "1"), "needs a `teacher`"),
        (("--batch-tokens", "16"), "must hold at least one sequence"),
    ],
)
def test_wrong_flags_are_one_sentence(
    pretrain: Train,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(SystemExit) as stopped:
        pretrain(tmp_path / "run", *flags)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "run").exists()


def test_a_loss_that_runs_away_ends_the_run_and_nothing_of_it_is_kept(
    pretrain: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        pretrain(out, "--rate", "1e30", "--save-every", "1", "--report-every", "7")
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    found = re.search(r"not finite any more at step (\d+): --rate 1e\+30 is far above", said)
    assert found
    assert not (out / "final").exists()
    step = int(found[1])
    kept = sorted(out.glob("checkpoints/step-*"))
    assert [path.name for path in kept] == [f"step-{n:08d}" for n in range(max(1, step - 2), step)]
    assert all(value.isfinite().all() for path in kept
               for value in load_file(path / "model.safetensors").values())  # fmt: skip
    assert (str(kept[-1]) in said) if kept else ("Nothing was saved before it" in said)


def test_a_start_that_is_refused_leaves_nothing_in_the_way(
    pretrain: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    missing = ("--distillation", "1", "--teacher", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit):
        pretrain(out, *missing)
    assert not out.exists()
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: free)
        with pytest.raises(SystemExit):
            pretrain(out)
    assert not out.exists()
    pretrain(out, "--tokens", "512", "--measure-batches", "0")
    assert not any("held_out_loss" in line for line in metrics(out))


def test_what_is_handed_on_has_the_dropout_of_its_architecture(
    pretrain: Train, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    pretrain(out, "--tokens", "512", "--dropout", "0")
    config = json.loads((out / "final" / "config.json").read_text())
    usual = named_config("bert-tiny", vocab_size=10)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        assert config[name] == getattr(usual, name) == 0.1
    assert json.loads((out / "run.json").read_text())["recipe"]["dropout"] == 0
    assert load_encoder(out / "final").embeddings.dropout.p == 0.1
