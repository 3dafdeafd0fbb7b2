"""What a run takes is known beforehand, from the shape of its batch, for every family."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from export.architectures.registry import architecture_of
from export.read.checkpoint import read_checkpoint
from export.write.model_folder import LINEARS
from models.manifest import ManifestError, ModelManifest, load_manifest
from models.pooling import POOLING_MODES
from server.inference.options import RUN_BYTES
from server.inference.runtime.memory import RunMemory
from server.inference.runtime.packing import Item, MaskScores
from tests import families
from tests.export.built_graph import build_graph
from tests.families import FAMILIES
from tests.running_server import REPOSITORY
from tests.server.inference.samples import pooled

MIB = 1 << 20
PAGE = REPOSITORY / "docs" / "supported-checkpoints.md"
TOP_K = 1000
WORDS = 60_000
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
from server.inference.runtime.packing import Batch, Encoding, Item, MaskScores, SentenceVector

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

session = open_session(Path(sys.argv[1]), threads=1)
wanted = [node.name for node in session.get_inputs()]
mode, masks, top_k = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def run(lengths, masks):
    rows = [Encoding(np.full(n, 7), np.zeros(n, np.int64)) for n in lengths]
    output = MaskScores(tuple(range(masks)), top_k) if masks else SentenceVector(mode)
    feeds = Batch([Item(row, output) for row in rows]).feeds()
    outputs = ["mlm_ids"] if masks else ["pooled", "pooled_max"]
    session.run(outputs, {name: feeds[name] for name in wanted})

run([5], min(masks, 1))
before = peak()
run([int(n) for n in sys.argv[5:]], masks)
print(before, peak())
"""


def taken(
    graph: Path, lengths: list[int], *, mode: str = "mean", masks: int = 0, top_k: int = 5
) -> int:
    """What a process took for one run more than for a short one of its kind, in bytes."""
    options = [mode, masks, top_k, *lengths]
    command = [sys.executable, "-c", MEASURE, str(graph / "model.onnx"), *map(str, options)]
    printed = subprocess.run(
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout
    before, after = map(int, printed.split())
    return after - before


on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="asks Linux what a process took at most"
)


@on_linux
@pytest.mark.parametrize("name", SHAPES)
def test_a_run_takes_what_is_said_and_not_much_less(
    name: str, tmp_path: Path, default_model: Path
) -> None:
    made = families.make(name, FAMILIES[name].classes[0], tmp_path / "checkpoint", **WIDE)
    config = made.checkpoint.config
    graph = build_graph(made.checkpoint, tmp_path / "graph")
    manifest = replace(
        load_manifest(default_model),
        architecture=config,
        pair_bytes=architecture_of(config).pair_bytes(config),
    )
    lengths = SHAPES[name]
    bound = RunMemory.of(manifest, 1 << 40, TOP_K)
    said = bound.takes(len(lengths), max(lengths), sum(lengths), 0)
    assert AT_LEAST * said < taken(graph.folder, lengths) < said + BESIDES


@on_linux
def test_pooling_in_every_way_takes_what_is_said(tmp_path: Path, default_model: Path) -> None:
    made = families.make("bert", "Model", tmp_path / "checkpoint", **WIDE)
    graph = build_graph(made.checkpoint, tmp_path / "graph")
    manifest = replace(load_manifest(default_model), architecture=made.checkpoint.config)
    usual = RunMemory.of(manifest, 1 << 40, TOP_K).takes(60, 100, 6000, 0)
    every = "+".join((*POOLING_MODES, "mean", "max"))
    manifest = replace(manifest, pooling=replace(manifest.pooling, mode=every))
    said = RunMemory.of(manifest, 1 << 40, TOP_K).takes(60, 100, 6000, 0)
    found = taken(graph.folder, [100] * 60, mode=every)
    assert AT_LEAST * said < found < said + BESIDES
    assert found > usual  # which is of one mode


@on_linux
@pytest.mark.parametrize("precision", LINEARS)
@pytest.mark.parametrize("top_k", [5, 20_000])
def test_masks_take_what_is_said_and_more_than_the_bound_without_them(
    precision: str, top_k: int, tmp_path_factory: pytest.TempPathFactory, default_model: Path
) -> None:
    folder = tmp_path_factory.getbasetemp() / "many-words"
    if not folder.exists():
        families.make("bert", "ForMaskedLM", folder, vocab_size=WORDS, max_position_embeddings=600)
    checkpoint = read_checkpoint(folder)
    graph = build_graph(checkpoint, folder / f"{precision}-{top_k}", linear=LINEARS[precision])
    sizes = replace(load_manifest(default_model), architecture=checkpoint.config)
    bound = RunMemory.of(replace(sizes, precision=precision), 1 << 40, top_k)
    tokens, masks = 150, 120
    said = bound.takes(1, tokens, tokens, masks)
    found = taken(graph.folder, [tokens], masks=masks, top_k=top_k)
    # In float16 the first run has made the table float32, whose memory the next one uses again.
    assert (AT_LEAST if precision != "fp16" else 0.3) * said < found < said + BESIDES
    most = replace(bound, most=found - BESIDES)
    assert most.allows(1, tokens, tokens, 0)
    assert most.masks(tokens) < masks
    assert not most.allows(1, tokens, tokens, masks)


@pytest.mark.parametrize(("pair", "token"), [(48, 49152), (64, 1), (337, 65537)])
def test_the_longest_text_is_the_longest_that_is_allowed(pair: int, token: int) -> None:
    for most in (16 * MIB, 100_000_007, 4 << 30):
        for text, mask in ((0, 0), (400, 0), (8, 122_088)):
            bound = RunMemory(pair, token // 2, token - token // 2, text, mask, most)
            longest = bound.longest
            assert bound.allows(1, longest, longest, 1)
            assert not bound.allows(1, longest + 1, longest + 1, 1)
            if mask:
                few = bound.masks(longest // 2)
                assert bound.allows(1, longest // 2, longest // 2, few)
                assert not bound.allows(1, longest // 2, longest // 2, few + 1)


def test_what_every_part_takes_follows_from_the_manifest(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    bound = RunMemory.of(manifest, 16 * MIB, TOP_K)
    assert (bound.pair, bound.slot) == (12 * 4, 7 * 4 * 384)
    assert (bound.token, bound.text) == (4 * (384 + 2 * 1536), 4 * 2)  # next sentences
    assert bound.mask == 4 * (2 * 30522 + 2 * 384) + 12 * TOP_K
    assert RunMemory.of(replace(manifest, heads=("pooler",)), 1, TOP_K).mask == 0
    labelled = replace(manifest, heads=("token", "sparse", "multi_vector"), labels=("x",) * 9000)
    assert RunMemory.of(labelled, 1, TOP_K).token == bound.token + 4 * (9000 + 1 + 384)
    sorted_in = replace(labelled, heads=("pooler", "sequence"))
    assert RunMemory.of(sorted_in, 1, TOP_K).text == 4 * 9000


def test_a_manifest_is_shortened_to_what_may_be_run(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    bound = RunMemory.of(manifest, 16 * MIB, TOP_K)
    shortened = bound.shortened(manifest, "small-en")
    assert shortened.max_tokens == shortened.pooling.max_tokens == bound.longest < 512
    short = replace(manifest, pooling=replace(manifest.pooling, max_tokens=99))
    assert bound.shortened(short, "small-en").pooling.max_tokens == 99
    plenty = RunMemory.of(manifest, 1 << 40, TOP_K)
    assert plenty.shortened(manifest, "small-en") == manifest


def test_a_bound_that_leaves_room_for_nothing_is_refused(default_model: Path) -> None:
    manifest = load_manifest(default_model)
    for most in (0, 100_000):
        sentence = (
            "small-en/manifest.json is of a model that takes 383336 bytes for a run of 5 tokens, "
            f"and {most} are allowed here (--run-bytes)."
        )
        with pytest.raises(ManifestError, match=re.escape(sentence)):
            RunMemory.of(manifest, most, TOP_K).shortened(manifest, "small-en")


def test_items_are_cut_into_runs_that_are_allowed() -> None:
    masked = [MaskScores(tuple(range(n)), 5) for n in (2, 3, 1, 9, 1)]
    items = [Item(pooled(3).encoding, output) for output in masked]
    bound = RunMemory(pair=0, slot=0, token=1, text=0, mask=10, most=60)
    parts = [[item.output.masks for item in part] for part in bound.parts(items)]
    assert parts == [[2, 3], [1], [9], [1]]
    assert [len(part) for part in replace(bound, most=500).parts(items)] == [5]
    assert list(bound.parts([])) == []


@dataclass(frozen=True)
class Known:
    """A model of the page."""

    heads: tuple[str, ...]
    words: int
    attention_heads: int
    hidden: int
    inner: int
    pair: int | None = None


LONG_READERS = {
    "NomicBERT": Known((), 30528, 12, 768, 3072),
    "ModernBERT-base": Known(("mlm",), 50368, 12, 768, 1152, 12 * 4 + 17),
    "BGE-M3 (XLM-RoBERTa-large)": Known(("sparse", "multi_vector"), 250_002, 16, 1024, 4096),
    "ModernBERT-large": Known(("mlm",), 50368, 16, 1024, 2624, 16 * 4 + 17),
}


def manifest_of(default_model: Path, known: Known, precision: str = "fp32") -> ModelManifest:
    manifest = load_manifest(default_model)
    sizes = replace(
        manifest.architecture,
        vocab_size=known.words,
        num_attention_heads=known.attention_heads,
        hidden_size=known.hidden,
        intermediate_size=known.inner,
    )
    found = replace(manifest, architecture=sizes, pair_bytes=known.pair)
    return replace(found, heads=known.heads, precision=precision)


@pytest.mark.parametrize("model", LONG_READERS)
def test_the_page_says_how_long_texts_may_be(model: str, default_model: Path) -> None:
    manifest = manifest_of(default_model, LONG_READERS[model])
    usual, more = (RunMemory.of(manifest, most, TOP_K) for most in (RUN_BYTES["cpu"], 1 << 30))
    whole = usual.takes(1, 8192, 8192, 0)
    row = f"| {model} | {usual.longest} | {more.longest} | {whole / 1e9:.1f} GB |"
    assert row in PAGE.read_text()


def test_the_page_says_how_many_masks_a_text_may_have(default_model: Path) -> None:
    xlmr = Known(("mlm",), 250_002, 12, 768, 3072)
    few = [
        RunMemory.of(manifest_of(default_model, xlmr, precision), RUN_BYTES["cpu"], TOP_K).masks(
            512
        )
        for precision in ("fp32", "int8")
    ]
    said = f"at 512 tokens, {few[0]} masks of XLM-RoBERTa-base fit, and {few[1]} in int8"
    assert said in " ".join(PAGE.read_text().split())
