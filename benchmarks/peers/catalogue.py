"""Every subject of `make bench-peers`: what it needs, how it is started, what it can do."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import cloze
from benchmarks.load.offer import Post
from benchmarks.peers.environments import build, python_of
from benchmarks.peers.weights import PRECISIONS, Weights, make_ctranslate2, make_onnx
from benchmarks.subjects import Dialect, Spec
from benchmarks.workloads import Question, Task

Make = Callable[[Weights], None]
FILL: frozenset[Task] = frozenset({"fill-mask"})
EMBED: frozenset[Task] = frozenset({"embed"})
PROGRAMS = "benchmarks.peers.programs"


@dataclass(frozen=True)
class Peer:
    """One peer in one of its settings."""

    name: str
    environment: str
    module: str
    arguments: Sequence[str]
    """`{port}`, `{threads}` and the formats of `Weights` stand for what they are here."""
    tasks: frozenset[Task]
    dialect: Dialect | None
    make: Sequence[Make] = ()
    ready: str = "/readyz"

    def prepare(self, weights: Weights) -> None:
        """Install what it needs and convert the weights.

        Raises:
            RuntimeError: with the reason that the installer or the converter printed.
        """
        build(self.environment)
        for make in self.make:
            make(weights)

    def spec(self, weights: Weights, threads: int) -> Spec:
        """Return how it is started."""
        known = {
            "port": "{port}",
            "threads": threads,
            "checkpoint": weights.checkpoint,
            "onnx": weights.onnx,
            "ctranslate2": weights.ctranslate2,
        }
        filled = [argument.format(**known) for argument in self.arguments]
        command = [str(python_of(self.environment)), "-m", self.module, *filled]
        return Spec(self.name, command, self.tasks, self.dialect, self.ready)


def openai(question: Question) -> Post:
    """Ask for embeddings as OpenAI's clients do, under the path that Infinity serves.

    >>> openai(Question("embed", ("It rained.",)))
    ('/embeddings', '{"model": "peer", "input": ["It rained."]}')
    """
    return "/embeddings", json.dumps({"model": "peer", "input": question.texts})


def infinity(engine: str, *make: Make) -> Peer:
    """Return Infinity with one engine; its cache would answer repeated texts without computing."""
    where = ["--model-id", "{checkpoint}", "--served-model-name", "peer", "--port", "{port}"]
    how = ["--engine", engine, "--device", "cpu", "--dtype", "float32", "--no-vector-disk-cache"]
    how += ["--pooling-method", "mean"]  # which the optimum engine guesses from the model's name
    quiet = ["--log-level", "warning", "--host", "127.0.0.1"]
    return Peer(
        f"infinity {engine}",
        "infinity",
        "infinity_emb.cli",
        ["v2", *where, *how, *quiet],
        EMBED,
        openai,
        make,
        "/health",
    )


def program(
    name: str, module: str, tasks: frozenset[Task], *arguments: str, make: Sequence[Make] = ()
) -> Peer:
    """Return a server of ours around a peer's library."""
    environment = name.split(maxsplit=1)[0]
    ready = "/" if environment == "mosec" else "/readyz"
    return Peer(
        name, environment, f"{PROGRAMS}.{module}", arguments, tasks, cloze.post, make, ready
    )


def loop(name: str, module: str, tasks: frozenset[Task], *arguments: str, make: Make) -> Peer:
    """Return a bare loop of ours around a peer's library."""
    environment = name.split(maxsplit=1)[0]
    return Peer(name, environment, f"{PROGRAMS}.{module}", arguments, tasks, None, (make,))


PEERS = (
    program("pipeline", "pipeline", FILL, "{checkpoint}", "{port}", "{threads}"),
    infinity("torch"),
    infinity("optimum", make_onnx),
    *(
        program(
            f"sentence-transformers {backend}",
            "sentence_transformers_server",
            EMBED,
            *("{checkpoint}", "{port}", "{threads}", backend),
            make=[make_onnx] if backend == "onnx" else [],
        )
        for backend in ("torch", "onnx")
    ),
    program(
        "padded", "padded_server", FILL | EMBED, "{onnx}", "{port}", "{threads}", make=[make_onnx]
    ),
    program(
        "mosec", "mosec_server", FILL | EMBED, "{onnx}", "{port}", "{threads}", make=[make_onnx]
    ),
    *(
        loop(
            f"openvino {kind}, bare loop",
            "openvino_loop",
            FILL | EMBED,
            "{onnx}",
            "{threads}",
            kind,
            make=make_onnx,
        )
        for kind in ("f32", "bf16")
    ),
    *(
        loop(
            f"ctranslate2 {kind}, bare loop",
            "ctranslate2_loop",
            EMBED,
            "{ctranslate2}",
            "{threads}",
            kind,
            make=make_ctranslate2,
        )
        for kind in ("float32", "int8")
    ),
)


def cloze_subjects(weights: Weights) -> list[Spec]:
    """Return Cloze and its bare session in both precisions."""
    return [
        spec
        for precision in reversed(PRECISIONS)
        for spec in cloze.subjects(weights.cloze(precision), f"cloze {precision}")
    ]
