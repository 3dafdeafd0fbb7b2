"""`make sbom` -> valid CycloneDX that lists just what the lock file pins, with its hashes."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import Any

import pytest

from tests.running_server import REPOSITORY

pytestmark = pytest.mark.slow

# The validator of the library that wrote it, with the schema that CycloneDX publishes.
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()) is not None)
"""


@pytest.fixture(scope="module", params=["serve", "serve-cuda"])
def lock(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def sbom(lock: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Make it twice, which is to be the same, and read it."""
    folder = tmp_path_factory.mktemp("sbom")
    made = [folder / "one.cdx.json", folder / "two.cdx.json"]
    for path in made:
        command = ["make", "sbom", f"LOCK={lock}", f"SBOM={path}"]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True)
        assert "Warning" not in done.stderr.replace("WARNING: Location", "")
    assert made[0].read_bytes() == made[1].read_bytes()
    read: dict[str, Any] = json.loads(made[0].read_text())
    return read


def is_valid(sbom: dict[str, Any]) -> bool:
    command = [str(REPOSITORY / ".venv-audit" / "bin" / "python"), "-W", "error", "-c", VALIDATE]
    return not subprocess.run(command, input=json.dumps(sbom), text=True, check=False).returncode


def test_it_is_valid_by_the_schema_of_cyclonedx(sbom: dict[str, Any]) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    assert is_valid(sbom)
    assert not is_valid(sbom | {"componentz": []})


def test_its_root_is_cloze(sbom: dict[str, Any]) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    root = sbom["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == (
        "application",
        project["name"],
        project["version"],
    )


def test_it_lists_what_the_lock_file_pins_with_its_hashes(lock: str, sbom: dict[str, Any]) -> None:
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text()
    pinned = {
        f"pkg:pypi/{name}@{version}": set(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        for name, version, hashes in re.findall(r"^(\S+)==(\S+)((?:.*\\\n)+.*)", text, re.MULTILINE)
    }
    assert len(pinned) == text.count("==")
    assert sum(map(len, pinned.values())) == text.count("--hash=")
    listed = {}
    for component in sbom["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        (reference,) = component["externalReferences"]
        assert {found["alg"] for found in reference["hashes"]} == {"SHA-256"}
        listed[component["purl"]] = {found["content"] for found in reference["hashes"]}
    assert len(sbom["components"]) == len(listed)
    assert listed == pinned
