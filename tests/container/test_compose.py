"""docker-compose.yml -> valid by its published schema, hardened, in step with the Dockerfile."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator, ValidationError

from server.settings import Settings

REPOSITORY = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text())


def compose() -> dict[str, Any]:
    """Read the file as Docker Compose does."""
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return loaded


def service() -> dict[str, Any]:
    """Return the server's service."""
    described: dict[str, Any] = compose()["services"]["cloze"]
    return described


def dockerfile() -> str:
    """Return the Dockerfile's text."""
    return (REPOSITORY / "Dockerfile").read_text()


def seconds(duration: str) -> float:
    """Read a duration such as 30s."""
    assert duration.endswith("s")
    return float(duration.removesuffix("s"))


def test_file_is_valid_by_the_compose_specification() -> None:
    Draft201909Validator(SCHEMA).validate(compose())


def test_schema_notices_a_misspelt_option() -> None:
    wrong = compose()
    wrong["services"]["cloze"]["read_onyl"] = True
    with pytest.raises(ValidationError):
        Draft201909Validator(SCHEMA).validate(wrong)


def test_service_is_hardened() -> None:
    assert service()["read_only"] is True
    assert service()["cap_drop"] == ["ALL"]
    assert service()["security_opt"] == ["no-new-privileges:true"]
    assert service()["user"] == "10001:10001"
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & set(service())


def test_service_is_limited() -> None:
    assert {"mem_limit", "memswap_limit", "cpus", "pids_limit"} <= set(service())


def test_limit_on_open_files_leaves_the_connections_that_are_documented() -> None:
    files = service()["ulimits"]["nofile"]
    program = (
        "from server.process.protocol import bounded\n"
        "from server.settings import Connections\n"
        "print(bounded(Connections()).bounds.max_connections)"
    )
    limited = f"ulimit -n {files} && exec {shlex.quote(sys.executable)} -c '{program}'"
    most = subprocess.run(
        ["bash", "-c", limited], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert 1000 < int(most) < files
    page = (REPOSITORY / "docs" / "deploy.md").read_text()
    assert f"the {files} open files of `docker-compose.yml` leave {most} connections" in page


def test_models_are_mounted_where_the_image_looks_and_read_only() -> None:
    (mount,) = service()["volumes"]
    assert mount["read_only"] is True
    assert f"CLOZE_MODELS={mount['target']}" in dockerfile()


def test_image_is_for_the_cpu_unless_the_build_says_otherwise() -> None:
    assert re.search(r"^ARG LOCK=serve$", dockerfile(), flags=re.MULTILINE)
    assert "args" not in str(service()["build"])
    sent = (REPOSITORY / ".dockerignore").read_text().splitlines()
    for lock in ("serve", "serve-cuda", "serve-otel"):
        assert (REPOSITORY / "requirements" / f"{lock}.txt").is_file()
        assert f"!requirements/{lock}.txt" in sent


def test_grace_time_is_longer_than_the_drain() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    drain_s = defaults["drain_delay_s"] + defaults["drain_timeout_s"]
    assert seconds(service()["stop_grace_period"]) > drain_s


def test_health_check_is_the_image_own() -> None:
    asked = ", ".join(f'"{word}"' for word in service()["healthcheck"]["test"][1:])
    assert re.search(rf"HEALTHCHECK .*\\\n\s+CMD \[{re.escape(asked)}\]", dockerfile())
