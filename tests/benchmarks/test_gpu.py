"""The GPU benchmark on the CPU, with a tiny model, so that nothing but figures is missing there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY


def bench(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu", "--results", str(folder), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_answers_server_session_and_pytorch_are_measured(tmp_path: Path) -> None:
    options = ["--device", "cpu", "--sizes", "tiny", "--folder", str(tmp_path / "models")]
    options += ["--batch-tokens", "256", "--processes", "1", "--only", "answers,throughput,alone"]
    done = bench(tmp_path, *options, "--quick", "--rounds", "1", "--seconds", "0.3")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu-tiny.json").read_text())
    assert not [name for name in report["conditions"] if name.startswith("not measured")]
    found = {
        (f["section"], f["subject"], f["workload"], f["measure"]): f["median"]
        for f in report["figures"]
    }
    # float16 on the CPU rounds; a text's answer hardly depends on its company.
    assert 0 < found["answers", "cloze, 1 process", "embed, from fp32 on the CPU", "vectors"] < 0.05
    alone = found["answers", "cloze, 1 process", "fill-mask, beside a long text", "best word"]
    assert alone == 1.0
    subjects = ("cloze, 1 process", "bare session, 256 tokens", "PyTorch, 256 tokens")
    for subject in subjects:
        for section in ("throughput", "alone"):
            assert found[section, subject, "short fill-mask", "rate"] > 0
    assert found[
        "throughput", "PyTorch, 256 tokens, logits of masks alone", "short fill-mask", "rate"
    ]


@pytest.mark.slow
def test_missing_gpu_is_said(tmp_path: Path) -> None:
    options = ["--sizes", "tiny", "--folder", str(tmp_path / "models"), "--processes", "1"]
    done = bench(tmp_path, *options, "--batch-tokens", "256", "--only", "answers", "--quick")
    assert done.returncode != 0
    assert "no CUDA provider" in done.stderr


def test_unknown_size_is_refused(tmp_path: Path) -> None:
    assert "unknown ['huge']" in bench(tmp_path, "--sizes", "huge").stderr
