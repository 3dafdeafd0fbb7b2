"""Cloze as a subject: how its server and its bare session are started, and how it is asked."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.load.offer import Post
from benchmarks.subjects import Spec
from benchmarks.workloads import TASKS, Question

REPOSITORY = Path(__file__).parents[1]
DEFAULT_MODEL = REPOSITORY / "models" / "cloze-small-en"


def server(
    name: str,
    *flags: str,
    checkout: Path = REPOSITORY,
    environment: Mapping[str, str] | None = None,
    without: str = "",
) -> Spec:
    """Return the server of a checkout, quiet and without the delay before it stops.

    `without` names a shortcut that it is to do without (`benchmarks.plain`).
    """
    module = ["benchmarks.plain", without] if without else ["server"]
    command = [sys.executable, "-m", *module, "--port", "{port}", *flags]
    command += ["--log-level", "error", "--drain-delay-s", "0"]
    environment = environment or {}
    return Spec(name, command, frozenset(TASKS), post, "/readyz", checkout, environment)


def subjects(model: Path, name: str = "cloze") -> list[Spec]:
    """Return the server of a model folder and, by itself, the session that it runs."""
    bare = [sys.executable, "-m", "benchmarks.bare", str(model)]
    return [
        server(name, "--models", str(model)),
        Spec(f"{name}, bare session", bare, frozenset(TASKS)),
    ]


def post(question: Question) -> Post:
    """Ask Cloze, or a server with the same routes.

    >>> post(Question("nsp", ("It rained.", "We got wet.")))
    ('/nsp', '{"inputs": ["It rained.", "We got wet."]}')
    """
    texts = question.texts
    inputs: object = texts[0] if len(texts) == 1 else texts
    return f"/{question.task}", json.dumps({"inputs": inputs})
