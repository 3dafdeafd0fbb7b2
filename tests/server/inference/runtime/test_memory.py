"""What a run takes is known beforehand, from the shape of its batch, for every family."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from export.architectures.registry import architecture_of
from models.manifest import ManifestError, load_manifest
from server.inference.options import RUN_BYTES
from server.inference.runtime.memory import RunMemory
from tests import families
from tests.export.built_graph import build_graph
from tests.families import FAMILIES
from tests.running_server import REPOSITORY

MIB = 1 << 20
BESIDES = 8 * MIB  # what a process takes meanwhile for itself: feeds, results, code
AT_LEAST = 0.6  # of what is said, or texts are refused that could be read
WIDE = {"hidden_size": 96, "num_attention_heads": 12, "max_position_embeddings": 1040}
# Of each way to make scores, with its longest texts; and a long text that pads short ones.
SHAPES = {
    "bert": [1024],
    "roberta": [340, *[3] * 57],
    "modernbert": [1024],
    "nomicbert": [1024],
    "mpnet": [800],
    "deberta-v3": [700],
    "Roberta relative_key_query": [1024],
}
# Prints the peak of a process's memory before a run and after it.
MEASURE = """
import re, sys
from pathlib import Path
import numpy as np
from models.opening import open_session
from server.inference.runtime.packing import Batch, Encoding, Item, SentenceVector

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

session = open_session(Path(sys.argv[1]), threads=1)
wanted = [node.name for node in session.get_inputs()]

def run(lengths):
    rows = [Encoding(np.full(n, 7), np.zeros(n, np.int64)) for n in lengths]
    feeds = Batch([Item(row, SentenceVector("mean")) for row in rows]).feeds()
    session.run(["pooled"], {name: feeds[name] for name in wanted})

run([5])
before = peak()
run([int(n) for n in sys.argv[2:]])
print(before, peak())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what a process took at most")
@pytest.mark.parametrize("name", SHAPES)
def test_a_run_takes_what_is_said_and_not_much_less(
    name: str, tmp_path: Path, default_model: Path
) -> None:
    made = families.make(name, FAMILIES[name].classes[0], tmp_path / "checkpoint", **WIDE)
    config = made.checkpoint.config
    graph = build_graph(made.checkpoint, tmp_path / "graph")
    opened = str(graph.folder / "model.onnx")
    command = [sys.executable, "-c", MEASURE, opened, *map(str, SHAPES[name])]
    printed = subprocess.run(
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    before, after = map(int, printed.split())

    manifest = replace(
        load_manifest(default_model),
        architecture=config,
        pair_bytes=architecture_of(config).pair_bytes(config),
    )
    lengths = SHAPES[name]
    said = RunMemory.of(manifest, 1 << 40).takes(len(lengths), max(lengths), sum(lengths))
    assert AT_LEAST * said < after - before < said + BESIDES


@pytest.mark.parametrize(("pair", "token"), [(48, 49152), (64, 1), (337, 65537)])
def test_the_longest_text_is_the_longest_that_is_allowed(pair: int, token: int) -> None:
    for most in (16 * MIB, 100_000_007, 4 << 30):
        bound = RunMemory(pair, token // 2, token - token // 2, most)
        assert bound.allows(1, bound.longest, bound.longest)
        assert not bound.allows(1, bound.longest + 1, bound.longest + 1)


def test_a_manifest_is_shortened_to_what_may_be_run(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    bound = RunMemory.of(manifest, 16 * MIB)
    assert (bound.pair, bound.slot) == (12 * 4, 7 * 4 * 384)
    assert bound.token == 4 * (384 + 2 * 1536)
    shortened = bound.shortened(manifest)
    assert shortened.max_tokens == shortened.pooling.max_tokens == bound.longest < 512
    short = replace(manifest, pooling=replace(manifest.pooling, max_tokens=99))
    assert bound.shortened(short).pooling.max_tokens == 99
    assert RunMemory.of(manifest, 1 << 40).shortened(manifest) == manifest


def test_a_bound_that_leaves_room_for_nothing_is_refused(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    sentence = "may take 100000 bytes (--run-bytes), and one of 5 tokens takes 124080."
    with pytest.raises(ManifestError, match=re.escape(sentence)):
        RunMemory.of(manifest, 100_000).shortened(manifest)


@pytest.mark.parametrize(
    ("model", "heads", "hidden", "inner", "pair"),
    [
        ("NomicBERT", 12, 768, 3072, None),
        ("ModernBERT-base", 12, 768, 1152, 12 * 4 + 17),
        ("BGE-M3 (XLM-RoBERTa-large)", 16, 1024, 4096, None),
        ("ModernBERT-large", 16, 1024, 2624, 16 * 4 + 17),
    ],
)
def test_the_page_says_how_long_texts_may_be(
    model: str, heads: int, hidden: int, inner: int, pair: int | None, default_model: Path
) -> None:
    manifest = load_manifest(default_model)
    sizes = replace(
        manifest.architecture,
        num_attention_heads=heads,
        hidden_size=hidden,
        intermediate_size=inner,
    )
    manifest = replace(manifest, architecture=sizes, pair_bytes=pair)
    usual, more = (RunMemory.of(manifest, most) for most in (RUN_BYTES["cpu"], 1 << 30))
    whole = usual.takes(1, 8192, 8192)
    row = f"| {model} | {usual.longest} | {more.longest} | {whole / 1e9:.1f} GB |"
    assert row in (REPOSITORY / "docs" / "supported-checkpoints.md").read_text()
