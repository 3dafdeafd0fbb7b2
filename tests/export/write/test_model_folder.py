"""Model folders as `export_model` leaves them: complete and verified, or not there at all.

The slow tests export random weights in the shapes of BERT-Base and BERT-Large, each in a process of
its own, and hold it to the time and memory that the design allows.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.architectures.bert import BERT
from export.architectures.registry import canonical_shapes, count_parameters
from export.check.parity import TOLERANCE, TOLERANCES, packed_feeds, run_feeds
from export.errors import ExportError
from export.graph.builder import DATA_FILE, GRAPH_FILE, OPSET
from export.read.checkpoint import Checkpoint, read_checkpoint
from export.read.config import EncoderConfig
from export.read.weight_names import checkpoint_key
from export.read.weights import Float32
from export.write.model_folder import export_model
from models.manifest import Architecture, ModelManifest, load_manifest
from tests.export.built_graph import BuiltGraph, MemoryWeights, difference
from tests.export.conftest import PIECES
from tests.export.torch_bert import TorchBert, tiny_texts
from tests.running_server import REPOSITORY

LARGE_SECONDS = 60
LARGE_BYTES = 6e9  # peak resident memory; its weights are 1.3e9 and mapped pages count
FILES = {"README.md", "manifest.json", "model.onnx", "model.onnx.data", "tokenizer.json"}

Save = Callable[..., Path]
Exported = Callable[[str], tuple[ModelManifest, Path]]


class Altered(MemoryWeights):
    """Weights that are not the same when they are read again, as in a file that someone rewrites.

    The graph is built from the first reading, the reference computes with the second.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, change: float) -> None:
        super().__init__({key: checkpoint.weights[key] for key in checkpoint.weights})
        self._name = name
        self._change = np.float32(change)

    def __getitem__(self, name: str) -> Float32:
        value = super().__getitem__(name)
        if name != self._name or self.reads[name] == 1:
            return value
        changed = value.copy()
        changed.reshape(-1)[::3] += self._change  # not all: a norm would take that out again
        return changed


class Failing(MemoryWeights):
    """Weights of which one cannot be read."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        super().__init__({key: checkpoint.weights[key] for key in checkpoint.weights})
        self._name = name

    def __getitem__(self, name: str) -> Float32:
        if name == self._name:
            raise ExportError(f"{name} holds NaN or infinite values.")
        return super().__getitem__(name)


def named(folder: Path) -> Checkpoint:
    return dataclasses.replace(read_checkpoint(folder), name="tiny")


def export(checkpoint: Checkpoint, out: Path, precision: str = "fp32") -> ModelManifest:
    return export_model(checkpoint, out, precision=precision, progress=lambda _: None)


@pytest.fixture(scope="module")
def checkpoint(pretraining: Checkpoint) -> Checkpoint:
    """The tiny BertForPreTraining."""
    return pretraining


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """`exported("int8")`: a manifest and its folder, which tests leave as it is."""

    @cache
    def exported(precision: str) -> tuple[ModelManifest, Path]:
        out = tmp_path_factory.mktemp(precision) / "tiny"
        return export(checkpoint, out, precision), out

    return exported


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A place for a model folder, alone in its own folder so that leftovers show."""
    return tmp_path / "models" / "tiny"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_folder_is_complete_and_verifies(exported: Exported, precision: str) -> None:
    manifest, out = exported(precision)
    assert {path.name for path in out.iterdir()} == FILES
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]
    assert load_manifest(out) == manifest
    assert set(manifest.files) == FILES - {"manifest.json"}


def test_manifest_says_what_the_checkpoint_is(checkpoint: Checkpoint, exported: Exported) -> None:
    manifest, _ = exported("fp32")
    assert (manifest.name, manifest.source) == ("tiny", "BertForPreTraining")
    assert manifest.architecture == Architecture(67, 12, 3, 2, 20, 29, 2, "gelu")
    assert manifest.heads == ("mlm", "nsp", "pooler")
    assert (manifest.labels, manifest.multi_label) == ((), False)
    assert (manifest.max_tokens, manifest.pooling.max_tokens) == (29, 29)
    assert (manifest.precision, manifest.opset, manifest.layers) == ("fp32", OPSET, (-2,))
    shapes = canonical_shapes(checkpoint.config, manifest.heads, labels=0)
    assert manifest.parameters["total"] == sum(int(np.prod(shape)) for shape in shapes.values())


def test_separate_decoder_is_counted(save: Save, out: Path) -> None:
    folder = save("BertForMaskedLM", tie_word_embeddings=False)
    manifest = export(named(folder), out)
    tied = count_parameters(read_checkpoint(folder).config, ("mlm",), tied=True)
    assert manifest.parameters["total"] == tied["total"] + 67 * 12


def test_float32_folder_records_parity_and_int8_drift(exported: Exported) -> None:
    (float32, _), (int8, _) = exported("fp32"), exported("int8")
    assert 0 < max(float32.parity.values()) <= TOLERANCE
    assert float32.quantization_error == {}
    assert int8.parity == {}
    assert 0.9 < int8.quantization_error["embedding_cosine_mean"] < 1
    assert int8.quantization_error["mlm_log_probabilities_max_abs"] > TOLERANCE


def test_float16_folder_records_parity_and_drift(exported: Exported) -> None:
    manifest, _ = exported("fp16")
    assert manifest.precision == "fp16"
    assert TOLERANCE < max(manifest.parity.values()) <= TOLERANCES["fp16"]
    assert 0.999 < manifest.quantization_error["embedding_cosine_worst"] < 1
    assert 0 < manifest.quantization_error["mlm_log_probability_mean_abs"] <= TOLERANCES["fp16"]


def test_labels_reach_the_manifest(save: Save, out: Path) -> None:
    folder = save(
        "BertForSequenceClassification",
        id2label={0: "bad", 1: "so so", 2: "good"},
        label2id={"bad": 0, "so so": 1, "good": 2},
        problem_type="multi_label_classification",
    )
    manifest = export(named(folder), out)
    assert (manifest.labels, manifest.multi_label) == (("bad", "so so", "good"), True)
    assert manifest.heads == ("pooler", "sequence")
    assert not manifest.regression


def test_a_regression_is_known_as_one(save: Save, out: Path) -> None:
    folder = save("BertForSequenceClassification", num_labels=1, problem_type="regression")
    manifest = export(named(folder), out)
    assert (manifest.labels, manifest.multi_label) == (("LABEL_0",), False)
    assert manifest.regression


def test_encoder_of_one_layer_has_no_layer_before_the_last(save: Save, out: Path) -> None:
    folder = save("BertForPreTraining", num_hidden_layers=1)
    manifest = export(named(folder), out)
    assert manifest.layers == load_manifest(out).layers == ()
    inputs = onnx.load(out / GRAPH_FILE, load_external_data=False).graph.input
    assert not [node.name for node in inputs if node.name.startswith("layer_")]


def test_graph_of_the_folder_is_the_checkpoints(
    checkpoint: Checkpoint, bert: Path, exported: Exported
) -> None:
    manifest, out = exported("fp32")
    graph = BuiltGraph.open(out, checkpoint, manifest.layers)
    text = tiny_texts()[1]
    wanted = TorchBert(bert, "BertForPreTraining")(text)
    feeds = packed_feeds(graph.spec, [text], [[0]])
    assert difference(run_feeds(graph.session, feeds)["pooled"][1], wanted.hidden[-2][0]) <= 1e-4
    scores = graph.run([text])["mlm_log_probabilities"]
    assert difference(scores, wanted.heads["mlm_log_probabilities"]) <= 1e-4


def test_tokenizer_and_notes_are_written_as_given(checkpoint: Checkpoint, out: Path) -> None:
    export_model(
        checkpoint, out, precision="fp32", progress=lambda _: None, notes="## Über\n\nklein"
    )
    assert (out / "tokenizer.json").read_text(encoding="utf-8") == checkpoint.tokenizer_json
    assert "\n## Über\n\nklein\n" in (out / "README.md").read_text(encoding="utf-8")


def test_other_users_may_read_the_folder(exported: Exported, tmp_path: Path) -> None:
    # The scratch folder is private; a server under another user must still read what comes of it.
    _, out = exported("fp32")
    (tmp_path / "plain").mkdir()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_two_exports_differ_in_nothing_but_their_time(
    checkpoint: Checkpoint, exported: Exported, out: Path, precision: str
) -> None:
    (first, _), second = exported(precision), export(checkpoint, out, precision)
    assert first == dataclasses.replace(second, created=first.created)


def test_only_int8_is_smoothed(exported: Exported) -> None:
    for precision in ("fp32", "fp16", "int8"):
        _, folder = exported(precision)
        graph = onnx.load(folder / GRAPH_FILE, load_external_data=False).graph
        factors = [t.name for t in graph.initializer if t.name.endswith(".factor")]
        assert len(factors) == (6 if precision == "int8" else 0)  # two of each layer


def test_progress_names_the_steps_in_order(checkpoint: Checkpoint, out: Path) -> None:
    steps: list[str] = []
    export_model(checkpoint, out, precision="int8", progress=steps.append)
    assert steps == [
        *checkpoint.notes,
        "building the int8 graph",
        "comparing it with the reference",
        "measuring what int8 changed",
        "writing the manifest",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "embeddings.position",
        "layers.1.attention.value.weight",
        "layers.2.attention.query.weight",
        "mlm.norm.weight",
        "nsp.bias",
    ],
)
def test_graph_unlike_the_reference_leaves_nothing(
    checkpoint: Checkpoint, out: Path, name: str
) -> None:
    altered = dataclasses.replace(checkpoint, weights=Altered(checkpoint, name, 0.01))
    with pytest.raises(ExportError, match=r"differ from the reference by .* is more than 0\.0001"):
        export(altered, out)
    assert list(out.parent.iterdir()) == []


def test_float16_graph_unlike_the_reference_leaves_nothing(
    checkpoint: Checkpoint, out: Path
) -> None:
    altered = dataclasses.replace(checkpoint, weights=Altered(checkpoint, "nsp.bias", 0.25))
    with pytest.raises(ExportError, match=r"The graph's nsp_logits differ .* is more than 0\.1"):
        export(altered, out, "fp16")
    assert list(out.parent.iterdir()) == []


def test_sentence_names_the_output_that_differs(checkpoint: Checkpoint, out: Path) -> None:
    altered = dataclasses.replace(checkpoint, weights=Altered(checkpoint, "nsp.bias", 0.25))
    with pytest.raises(ExportError, match=r"The graph's nsp_logits differ .* by 0\.25, "):
        export(altered, out)


def test_graph_that_gives_nan_is_refused(checkpoint: Checkpoint, out: Path) -> None:
    weights = MemoryWeights({key: checkpoint.weights[key] for key in checkpoint.weights})
    weights["nsp.bias"][0] = np.nan  # in graph and reference alike, so that they do not differ
    with pytest.raises(ExportError, match="In fp32 the nsp_logits are not finite"):
        export(dataclasses.replace(checkpoint, weights=weights), out)
    assert list(out.parent.iterdir()) == []


def test_weight_that_cannot_be_read_leaves_nothing(checkpoint: Checkpoint, out: Path) -> None:
    failing = Failing(checkpoint, "layers.2.output.bias")
    with pytest.raises(ExportError, match="holds NaN"):
        export(dataclasses.replace(checkpoint, weights=failing), out)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "step", ["building", "comparing it", "measuring what", "writing the manifest"]
)
def test_interruption_at_any_step_leaves_nothing(
    checkpoint: Checkpoint, out: Path, step: str
) -> None:
    def interrupt(line: str) -> None:
        if line.startswith(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_model(checkpoint, out, precision="int8", progress=interrupt)
    assert list(out.parent.iterdir()) == []


def test_folder_in_use_is_not_touched(checkpoint: Checkpoint, out: Path) -> None:
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(OSError, match="not empty"):
        export(checkpoint, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]


# --- BERT in its published sizes --------------------------------------------------------------


def write_checkpoint(folder: Path, config: EncoderConfig) -> Path:
    """A BertForPreTraining of random weights, written tensor by tensor to spare this process."""
    folder.mkdir()
    shapes = canonical_shapes(config, ("mlm", "nsp", "pooler"), labels=0)
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[checkpoint_key(name, BERT.weight_names)] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            scale = np.float32(0.02)
            value = rng.standard_normal(shape, dtype=np.float32) * scale
            (value + np.float32(name.endswith("norm.weight"))).tofile(file)
    fields = {
        field: value
        for field, value in dataclasses.asdict(config).items()
        if field not in {"labels", "multi_label", "regression"}
    }
    fields |= {"model_type": "bert", "architectures": ["BertForPreTraining"]}
    (folder / "config.json").write_text(json.dumps(fields))
    filler = [f"word{index}" for index in range(config.vocab_size - len(PIECES))]
    (folder / "vocab.txt").write_text("\n".join([*PIECES, *filler]) + "\n", encoding="utf-8")
    return folder


@dataclasses.dataclass(frozen=True)
class Measured:
    """An export in a process of its own."""

    manifest: ModelManifest
    seconds: float
    peak_bytes: float


def measured_export(checkpoint: Path, out: Path, precision: str) -> Measured:
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "export", checkpoint, out, "--precision", precision],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    # Of this one child: RUSAGE_CHILDREN is the largest of all that this process ever had.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Measured(load_manifest(out), seconds, usage.ru_maxrss * 1024)


def test_a_model_that_the_server_would_refuse_is_not_written(
    pretraining: Checkpoint, tmp_path: Path
) -> None:
    config = dataclasses.replace(pretraining.config, choices={"window": 1 << 60})
    wrong = dataclasses.replace(pretraining, config=config)
    sentence = "refused by the server: model/manifest.json: architecture.choices.window must be"
    with pytest.raises(ExportError, match=sentence):
        export_model(wrong, tmp_path / "out", precision="fp32", progress=lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bert_large_takes_a_minute_and_six_gigabytes_at_most(
    tmp_path: Path, precision: str
) -> None:
    config = EncoderConfig(30522, 1024, 24, 16, 4096, 512, 2, "gelu")
    checkpoint = write_checkpoint(tmp_path / "large", config)
    found = measured_export(checkpoint, tmp_path / "model", precision)
    print(f"BERT-Large {precision}: {found.seconds:.1f} s, {found.peak_bytes / 1e9:.2f} GB")  # noqa: T201
    # BertForPreTraining as published: the encoder and pooler, the transform and bias, the pairs.
    total = 335_141_888 + (1024 * 1024 + 3 * 1024 + 30522) + (2 * 1024 + 2)
    assert found.manifest.parameters["total"] == total
    size = found.manifest.files[DATA_FILE].size
    # A second word table would be a tenth of the whole.
    assert 1 < size / total / {"fp32": 4, "int8": 1}[precision] < 1.05
    assert found.seconds <= LARGE_SECONDS
    assert found.peak_bytes <= LARGE_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bert_base_exports(tmp_path: Path, precision: str) -> None:
    config = EncoderConfig(30522, 768, 12, 12, 3072, 512, 2, "gelu")
    checkpoint = write_checkpoint(tmp_path / "base", config)
    found = measured_export(checkpoint, tmp_path / "model", precision)
    print(f"BERT-Base {precision}: {found.seconds:.1f} s, {found.peak_bytes / 1e9:.2f} GB")  # noqa: T201
    assert found.manifest.parameters["total"] == 110_106_428
    assert found.manifest.architecture == Architecture(30522, 768, 12, 12, 3072, 512, 2, "gelu")
