"""The GPU benchmark on the CPU, with a tiny model, so that nothing but figures is missing there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_server import REPOSITORY

TINY = ["--device", "cpu", "--sizes", "tiny", "--seconds", "0.01", "--batch-tokens", "64,128"]
TINY += ["--peer-tokens", "64,128", "--workers", "1", "--processes", "1", "--connections", "2"]


def bench(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu", "--results", str(folder), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def tables(folder: Path, *sections: str) -> dict[str, list[list[object]]]:
    done = bench(folder, *TINY, "--only", ",".join(sections))
    assert done.returncode == 0, done.stderr
    written = (folder / "gpu.md").read_text()
    assert written in done.stdout
    assert " failed: " not in written.replace("| failed: ", "")
    report = json.loads((folder / "gpu.json").read_text())
    return {table["title"]: table["rows"] for table in report["tables"]}


def test_sessions_are_measured_without_pytorch(tmp_path: Path) -> None:
    found = tables(tmp_path, "batches", "latency", "graphs", "attention")
    assert len(found["Batch size (fp16)"]) == 8
    assert len(found["One short fill-mask alone, ms (fp16, median)"]) == 1
    graphs = found["CUDA graphs, one short fill-mask (fp16, median)"]
    assert [row[-1] for row in graphs] == ["0 of 24", "0 of 24"]
    others = found["Other graphs (fp16)"]
    # The CPU has no kernel for packed rows; the benchmark says so and goes on.
    assert any("PackedMultiHeadAttention" in str(row[2]) for row in others)
    assert all(float(str(row[-2])) < 0.1 for row in others if row[1] == "MultiHeadAttention")


@pytest.mark.slow
def test_placement_peers_and_the_server_are_measured(tmp_path: Path) -> None:
    found = tables(tmp_path, "models", "placement", "peers", "kernels", "server")
    assert [row[2] for row in found["Placement"]] == ["none", "none"]
    assert [row[1] for row in found["PyTorch beside it: the same answers"]] == ["64 of 64"]
    assert len(found["PyTorch beside it: throughput"]) == 10
    assert len(found["The server over HTTP (fp16)"]) == 3


def test_missing_gpu_is_said_in_a_sentence(tmp_path: Path) -> None:
    done = bench(tmp_path, "--device", "cuda")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_unknown_section_is_refused(tmp_path: Path) -> None:
    assert "unknown: speed" in bench(tmp_path, "--only", "speed").stderr
