"""The modules -> no circle among their imports, and nothing said twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.test_repository import MAY_IMPORT, REPOSITORY, files

PACKAGES = sorted({package.partition("/")[0] for package in MAY_IMPORT})
RUN = 6  # lines that stand twice, blank ones, imports and comments apart

Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Return every module of ours outside the tests by its dotted name."""
    found = {}
    for path in files(*(f"{package}/*.py" for package in PACKAGES)):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of ours that a file imports, wherever in it, for types alone too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names} & known.keys()
            yield from inner
            if node.module in known and len(inner) < len(node.names):
                yield node.module


def import_graph() -> Graph:
    """Return module -> the modules of ours that it imports."""
    known = modules()
    return {name: set(imports_of(path, known)) - {name} for name, path in known.items()}


def circle(graph: Graph) -> Sequence[str]:
    """Return a circle of imports, empty where there is none.

    >>> circle({"a": {"b"}, "b": set()}), sorted(set(circle({"a": {"b"}, "b": {"a"}})))
    ([], ['a', 'b'])
    """
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: Sequence[str] = error.args[1]
        return found
    return []


def telling_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines that say something, with their numbers: no imports, comments, brackets."""
    imported: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            imported.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [
        (number, line)
        for number, line in lines
        if number not in imported and any(map(str.isalnum, line)) and not line.startswith("#")
    ]


def repeated(texts: Mapping[str, str]) -> list[tuple[str, int, str, int]]:
    r"""Return where a run of lines begins that stands elsewhere too: file and line, twice.

    >>> once = "\n".join(f"line{n} = {n}" for n in range(6))
    >>> repeated({"a": once, "b": "other = 1\n" + once}), repeated({"a": once})
    ([('a', 1, 'b', 2)], [])
    """
    seen: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    for name, text in texts.items():
        lines = telling_lines(text)
        for start in range(len(lines) - RUN + 1):
            run = lines[start : start + RUN]
            seen[tuple(line for _, line in run)].append((name, run[0][0]))
    return [(*places[0], *other) for places in seen.values() for other in places[1:]]


def test_no_imports_go_in_a_circle() -> None:
    graph = import_graph()
    assert len(graph) > 100
    assert not circle(graph)


def test_a_circle_would_be_found() -> None:
    graph = dict(import_graph())
    assert "server.inference.tasks.task" in graph["server.inference.pipeline"]
    graph["server.inference.tasks.task"] = {"server.inference.pipeline"}
    assert circle(graph)


def test_nothing_is_said_twice() -> None:
    texts = {name: path.read_text() for name, path in modules().items()}
    assert not repeated(texts)


@pytest.mark.parametrize("between", ["# a note\n", "\n\n", "import os\n"])
def test_a_repetition_would_be_found_despite(between: str) -> None:
    run = [f"value_{n} = compute({n})\n" for n in range(RUN)]
    other = [*run[:3], between, *run[3:]]
    assert repeated({"a": "".join(run), "b": "".join(other)})
