"""The device, the models and the time that is left: what every section of the benchmark shares."""

import ctypes
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.gpu.bert import Bert, Graph
from benchmarks.gpu.streams import Texts
from benchmarks.machine import processor
from export.graph.bert import BertGraph
from models.manifest import GRAPH_FILE, MANIFEST_FILE
from server.inference.runtime.devices import CPU_PROVIDER, CUDA_PROVIDER, Device
from server.inference.runtime.packing import Batch, Item
from server.inference.runtime.session import (
    DISABLED_OPTIMIZERS,
    ERRORS_ONLY,
    Session,
    SessionOptions,
)

Feeds = Mapping[str, NDArray[np.generic]]
Outputs = dict[str, NDArray[Any]]
LIBRARIES = (
    *("nvidia-cublas", "nvidia-cuda-runtime", "nvidia-cudnn-cu13"),
    *("torch", "transformers", "numpy"),
)


@dataclass(frozen=True)
class Opening:
    """How a session is opened; as the server does where nothing else is said."""

    disabled: Sequence[str] = tuple(DISABLED_OPTIMIZERS)
    cuda: Mapping[str, str] = field(default_factory=dict)
    """Options of the CUDA provider, beside the server's."""
    profile: Path | None = None
    """Where a profile is to begin its file's name."""


SHIPPED = Opening()


class Lab:
    """Writes each graph once and opens sessions on the device."""

    def __init__(
        self, device: Device, folder: Path, tokenizer: Path, seconds: float, limit_s: float
    ) -> None:
        self.device = device
        self.seconds = seconds
        self.folder = folder
        self.texts = Texts(tokenizer)
        self._tokenizer_json = tokenizer.read_text(encoding="utf-8")
        self._ends = self._section_ends = time.monotonic() + limit_s
        self._berts: dict[str, Bert] = {}

    @property
    def over(self) -> bool:
        """Whether the section's time is up, or all of it: nothing new is begun then."""
        return time.monotonic() >= self._section_ends

    def begin(self, limit_s: float) -> None:
        """Begin a section, which may take so long."""
        self._section_ends = min(self._ends, time.monotonic() + limit_s)

    def bert(self, size: str) -> Bert:
        """Draw a size's weights once."""
        if size not in self._berts:
            self._berts[size] = Bert(size, self._tokenizer_json)
        return self._berts[size]

    def graph(self, size: str, precision: str, graph: Graph = BertGraph, name: str = "") -> Path:
        """Return the folder of a graph, written once."""
        folder = self.folder / f"{size}-{precision}{name and '-'}{name}"
        written = folder.with_name(f"{folder.name}.written")
        if not written.exists():
            self.bert(size).write(folder, precision, graph)
            written.touch()
        return folder

    def model(self, size: str, precision: str) -> Path:
        """Return a model folder that the server takes."""
        folder = self.graph(size, precision)
        if not (folder / MANIFEST_FILE).exists():
            self.bert(size).complete(folder, precision)
        return folder

    def session(self, size: str, precision: str = "fp16") -> Session:
        """Open a model as the server does."""
        options = SessionOptions(device=self.device)
        manifest = self.bert(size).manifest(precision)
        return Session(self.graph(size, precision), manifest, options)

    def raw(
        self, folder: Path, opening: Opening = SHIPPED, *, cpu: bool = False
    ) -> ort.InferenceSession:
        """Open a graph in ways that the server does not."""
        options = ort.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.inter_op_num_threads = 1
        if not cpu:
            options.intra_op_num_threads = 1
        if opening.profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(opening.profile)
        cuda = (CUDA_PROVIDER[0], {**CUDA_PROVIDER[1], **opening.cuda})
        on_gpu = self.device.name == "cuda" and not cpu
        return ort.InferenceSession(
            str(folder / GRAPH_FILE),
            options,
            providers=[cuda, CPU_PROVIDER] if on_gpu else [CPU_PROVIDER],
            disabled_optimizers=list(opening.disabled),
        )

    def feeds(self, items: Sequence[Item], size: str) -> Feeds:
        """Lay items out as the server does."""
        return Batch(items, self.bert(size).spec.layers).feeds()


def run(session: ort.InferenceSession, feeds: Feeds) -> Outputs:
    """Run what the graph has inputs for; all outputs by name."""
    wanted = {node.name for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    given = {name: feed for name, feed in feeds.items() if name in wanted}
    return dict(zip(names, session.run(names, given), strict=True))


def memory_used_mb() -> float | None:
    """Memory of the GPU that is in use, in 10^6 bytes; None without CUDA."""
    try:
        library = ctypes.CDLL("libcudart.so.13")
    except OSError:
        return None
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
        return None
    return (total.value - free.value) / 1e6


def conditions(device: Device) -> dict[str, str]:
    """Describe when, on what and with which versions it is measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{device.name} ({gpu_name()})",
        "processor": processor(),
        "onnxruntime": ort.__version__,
        "versions": ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version(name))),
        "Python": platform.python_version(),
    }


def gpu_name() -> str:
    """The name and driver of the first GPU, as its driver tells them."""
    listing = Path("/proc/driver/nvidia/gpus")
    cards = sorted(listing.glob("*/information")) if listing.exists() else []
    models = [
        line.partition(":")[2].strip()
        for card in cards[:1]
        for line in card.read_text().splitlines()
        if line.startswith("Model")
    ]
    version = Path("/proc/driver/nvidia/version")
    driver = version.read_text().split("  ")[1:2] if version.exists() else []
    return ", driver ".join(models + driver) or "no GPU"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
