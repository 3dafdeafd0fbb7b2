"""The tests of clients -> docs/clients.md: each client, its version, and the calls that are made.

A module of `tests/clients` names its client (`CLIENT`) and either the packages whose versions a
lock file pins (`PACKAGES`) or, of a program that a machine has, the oldest one that is meant
(`VERSION`). What each of its tests calls is the test's docstring.
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

REPOSITORY: Final = Path(__file__).parents[1]
TESTS: Final = REPOSITORY / "tests" / "clients"
HEAVY: Final = TESTS / "heavy"

HEAD: Final = """\
# Clients

Written by `make docs` from the tests in `tests/clients`, each of which runs the client as it is
published against a real server. `make test` runs those that need little; `make test-clients` runs
the others in an environment of their own, whose lock is `requirements/clients.txt`.

"""


class Row(NamedTuple):
    """One client."""

    client: str
    versions: str
    calls: list[str]
    run_by: str


def rows() -> Iterator[Row]:
    """Yields what each module of tests says of its client, in the order of the clients' names."""
    found = [_row(path) for path in TESTS.rglob("test_*.py")]
    yield from sorted(found, key=lambda row: row.client.lower())


def _row(path: Path) -> Row:
    body = ast.parse(path.read_text()).body
    said = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in {"CLIENT", "PACKAGES", "VERSION", "LOCK"}
    }
    tests = [
        node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    calls = [" ".join(said_of.split()) for test in tests if (said_of := ast.get_docstring(test))]
    if len(calls) < len(tests):
        raise ValueError(f"{path}: each test needs a docstring that tells its calls")
    heavy = HEAVY in path.parents
    lock = path.parent / said["LOCK"] if "LOCK" in said else _lock(heavy=heavy)
    versions = said.get("VERSION") or ", ".join(
        [f"{name} {version_in(lock, name)}" for name in said["PACKAGES"]]
    )
    return Row(said["CLIENT"], versions, calls, f"make test{'-clients' * heavy}")


def _lock(*, heavy: bool) -> Path:
    return REPOSITORY / "requirements" / ("clients.txt" if heavy else "test.txt")


def version_in(lock: Path, package: str) -> str:
    """The version of a package that a lock file of pip or npm pins.

    Raises:
        ValueError: it pins none.
    """
    if lock.suffix == ".json":
        pinned = _npm(lock).get(package)
    else:
        match = re.search(rf"^{re.escape(package)}==(\S+)", lock.read_text(), re.MULTILINE)
        pinned = match and match[1]
    if pinned is None:
        raise ValueError(f"{lock.name} does not pin {package}")
    return pinned


@cache
def _npm(lock: Path) -> dict[str, str]:
    packages = json.loads(lock.read_text())["packages"]
    return {
        name.removeprefix("node_modules/"): entry["version"]
        for name, entry in packages.items()
        if name
    }


def page() -> str:
    """The page."""
    lines = ["| client | version | calls | run by |", "|---|---|---|---|"]
    for row in rows():
        calls = "<br>".join(row.calls).replace("|", r"\|")
        lines.append(f"| {row.client} | {row.versions} | {calls} | `{row.run_by}` |")
    return HEAD + "\n".join(lines) + "\n"
