"""A checkpoint, or a size for random weights -> the same weights in the format of every subject.

What is made is kept in .venv-peers/weights/NAME, and made again when the checkpoint changes.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cloze import DEFAULT_MODEL, REPOSITORY
from benchmarks.peers.environments import ENVIRONMENTS, build, call, python_of

SIZES = {  # of random weights: layers, hidden size, heads
    "tiny": (2, 64, 2),  # to try the benchmarks themselves
    "small": (6, 384, 12),  # all-MiniLM-L6-v2's
    "base": (12, 768, 12),
    "large": (24, 1024, 16),
}
PRECISIONS = ("fp32", "int8")
TOKENIZER = DEFAULT_MODEL / "tokenizer.json"  # of random weights
RANDOM = "benchmarks.peers.programs.random_checkpoint"
EXPORT = REPOSITORY / ".venv-export" / "bin" / "python"
EXPORT_TASKS = {"fill-mask": "fill-mask", "embed": "feature-extraction"}  # Optimum's names
KIND = ("--framework", "pt", "--library", "transformers")

# What makes a checkpoint one of sentence-transformers: the mean of the token vectors, normalised.
MODULES = [
    {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for place, (path, kind) in enumerate(
        [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    )
]


@dataclass(frozen=True)
class Weights:
    """Where each format lies, once `need` has made it."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """A folder in the formats of transformers and sentence-transformers."""
        return self.folder / "checkpoint"

    @property
    def onnx(self) -> Path:
        """Optimum's exports, a folder for each task."""
        return self.folder / "onnx"

    @property
    def ctranslate2(self) -> Path:
        """CTranslate2's folder."""
        return self.folder / "ctranslate2"

    def cloze(self, precision: str) -> Path:
        """Return Cloze's model folder."""
        return self.folder / f"cloze-{precision}"


def prepare(
    source: str,
    precisions: Sequence[str] = PRECISIONS,
    root: Path = ENVIRONMENTS / "weights",
    python: Path | None = None,
) -> Weights:
    """Make the checkpoint and Cloze's model folders, each in its environment, or all in one."""
    weights = Weights(root.resolve() / name_of(source))
    if not weights.checkpoint.exists():
        make_checkpoint(source, weights.checkpoint, python)
    for precision in precisions:
        folder = weights.cloze(precision)
        if not folder.exists():
            print(f"exporting {source} for Cloze in {precision}", flush=True)
            paths = [str(weights.checkpoint), str(folder)]
            call([str(python or EXPORT), "-m", "export", *paths, "--precision", precision])
    return weights


def name_of(source: str) -> str:
    """Name a checkpoint by its folder and its weights' digest, a size by itself."""
    if source in SIZES:
        return source
    digest = hashlib.sha256()
    for file in sorted(Path(source).glob("*.safetensors")):
        digest.update(file.read_bytes())
    return f"{Path(source).resolve().name}-{digest.hexdigest()[:8]}"


def make_checkpoint(source: str, folder: Path, python: Path | None = None) -> None:
    """Copy the checkpoint, or make one, and say how sentences are pooled."""
    partial = folder.with_name("checkpoint.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if source in SIZES:
        if python is None:
            build("pipeline")
        program = [str(python or python_of("pipeline")), "-m", RANDOM]
        call([*program, *map(str, SIZES[source]), str(TOKENIZER), str(partial)])
    else:
        for file in Path(source).iterdir():
            if file.is_file():
                shutil.copyfile(file, partial / file.name)
    pool_sentences(partial)
    partial.rename(folder)


def pool_sentences(folder: Path) -> None:
    """Write the files of sentence-transformers."""
    config = json.loads((folder / "config.json").read_text())
    size = {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True}
    limit = {"max_seq_length": config["max_position_embeddings"]}
    (folder / "2_Normalize").mkdir()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(size))
    (folder / "modules.json").write_text(json.dumps(MODULES))
    (folder / "sentence_bert_config.json").write_text(json.dumps(limit))


def make_onnx(weights: Weights) -> None:
    """Export with Optimum, and put the encoder where sentence-transformers and Infinity look."""
    if weights.onnx.exists():
        return
    build("sentence-transformers")
    partial = weights.folder / "onnx.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for task, named in EXPORT_TASKS.items():
        print(f"exporting with Optimum: {named}", flush=True)
        command = [str(python_of("sentence-transformers")), "-m", "optimum.commands.optimum_cli"]
        paths = ["--model", str(weights.checkpoint), str(partial / task)]
        call([*command, "export", "onnx", *KIND, "--task", named, *paths])
    shutil.copytree(partial / "embed", weights.checkpoint / "onnx", dirs_exist_ok=True)
    partial.rename(weights.onnx)


def make_ctranslate2(weights: Weights) -> None:
    """Convert the encoder with CTranslate2's converter."""
    if weights.ctranslate2.exists():
        return
    build("ctranslate2")
    command = [str(python_of("ctranslate2")), "-m", "ctranslate2.converters.transformers"]
    paths = ["--model", str(weights.checkpoint), "--output_dir", str(weights.ctranslate2)]
    call([*command, *paths, "--copy_files", "tokenizer.json"])
