"""peers.toml and weights -> the subjects of `make bench-peers`, installed and ready to start."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cloze
from benchmarks.load.offer import Post
from benchmarks.peers.environments import build, python_of
from benchmarks.peers.weights import Weights, make_ctranslate2, make_onnx
from benchmarks.subjects import Dialect, Spec
from benchmarks.workloads import Question, Task

CONVERTERS = {"onnx": make_onnx, "ctranslate2": make_ctranslate2}


def openai(question: Question) -> Post:
    """Ask for embeddings as OpenAI's clients do, under the path that Infinity serves.

    >>> openai(Question("embed", ("It rained.",)))
    ('/embeddings', '{"model": "peer", "input": ["It rained."]}')
    """
    return "/embeddings", json.dumps({"model": "peer", "input": question.texts})


DIALECTS: Mapping[str, Dialect | None] = {"cloze": cloze.post, "openai": openai, "none": None}


@dataclass(frozen=True)
class Peer:
    """One peer in one of its settings; peers.toml says what each field means."""

    name: str
    environment: str
    module: str
    tasks: Sequence[Task]
    arguments: Sequence[str]
    api: str = "cloze"
    needs: str | None = None
    ready: str = "/readyz"

    def prepare(self, weights: Weights) -> None:
        """Install what it needs and convert the weights.

        Raises:
            RuntimeError: with the reason that the installer or the converter printed.
        """
        build(self.environment)
        if self.needs is not None:
            CONVERTERS[self.needs](weights)

    def spec(self, weights: Weights, threads: int) -> Spec:
        """Return how it is started."""
        known = {form: getattr(weights, form) for form in ("checkpoint", "onnx", "ctranslate2")}
        known |= {"port": "{port}", "threads": threads}
        own = "." in self.module
        module = self.module if own else f"benchmarks.peers.programs.{self.module}"
        filled = [argument.format(**known) for argument in self.arguments]
        command = [str(python_of(self.environment)), "-m", module, *filled]
        return Spec(self.name, command, frozenset(self.tasks), DIALECTS[self.api], self.ready)


PEERS = tuple(
    Peer(**entry)
    for entry in tomllib.loads(Path(__file__).with_name("peers.toml").read_text())["peer"]
)
