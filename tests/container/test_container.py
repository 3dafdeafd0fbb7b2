"""The real Dockerfile, built; its image looked into, started, called and stopped."""

import os
import shlex
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.container.engines import Buildah, Docker, Engine

pytestmark = [pytest.mark.container, pytest.mark.timeout(1800)]

READY_LIMIT_S = 30
GRACE_S = 30  # docker-compose.yml's stop_grace_period


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    usable = [kind for kind in (Docker, Buildah) if kind.usable()]
    if not usable:
        pytest.fail("needs a Docker engine, or root with buildah and debootstrap installed")
    engine: Engine = usable[0]()
    try:
        engine.build()
        yield engine
    finally:
        engine.remove()


@pytest.fixture(scope="module")
def server(engine: Engine) -> str:
    """Start the image's command and wait until it says that it is ready."""
    url = engine.start()
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return url
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready after {READY_LIMIT_S} s")


def ask(url: str, body: object) -> Any:
    answer = httpx.post(url, json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def paths(engine: Engine) -> list[str]:
    skipped = "-path /proc -prune -o -path /sys -prune -o -path /dev -prune -o -print"
    listing = engine.run("find", "/", *skipped.split(), user="root").stdout.splitlines()
    assert "/opt/venv/bin/python" in listing
    return listing


def test_image_runs_as_a_user_without_rights(engine: Engine) -> None:
    assert engine.config()["User"] == "10001:10001"
    assert engine.run("id", "-u").stdout.strip() == "10001"


def test_image_holds_neither_training_frameworks_nor_hub_clients(paths: list[str]) -> None:
    site = "/opt/venv/lib/python3.11/site-packages/"
    packages = {path.removeprefix(site).split("/")[0] for path in paths if path.startswith(site)}
    assert {"onnxruntime", "tokenizers", "fastapi"} <= packages
    unwanted = {"torch", "transformers", "huggingface_hub", "onnx", "pip", "setuptools", "pytest"}
    assert not unwanted & packages


def test_image_holds_no_build_tools_and_no_caches(paths: list[str]) -> None:
    names = {os.path.basename(path) for path in paths if "/bin/" in path}  # noqa: PTH119 - a string
    assert not {"gcc", "cc", "g++", "make", "ld", "git", "curl"} & names
    assert not [path for path in paths if "/.cache/" in path or path.startswith("/tmp/")]  # noqa: S108


def test_image_holds_the_server_and_no_tests(paths: list[str]) -> None:
    held = {path.split("/")[3] for path in paths if path.startswith("/opt/cloze/")}
    assert held == {"__pycache__", "healthcheck.py", "models", "server"}
    assert not [path for path in paths if path.startswith("/opt/cloze/") and "/tests" in path]


def test_image_files_belong_to_root(engine: Engine) -> None:
    owned = engine.run("find", "/opt", "/models", "-not", "-user", "root", user="root")
    assert owned.stdout == ""


def test_server_runs_as_the_image_user_and_answers(engine: Engine, server: str) -> None:
    filled = ask(f"{server}/fill-mask", {"inputs": "Paris is the [MASK] of France."})
    assert filled[0]["token_str"] == "capital"
    follower = ["He went to the shop.", "He bought a loaf of bread."]
    assert ask(f"{server}/nsp", {"inputs": follower})["is_next"] is True
    (vector,) = ask(f"{server}/embed", {"inputs": "A sentence."})
    assert len(vector) == 384


def test_health_check_follows_the_server(engine: Engine, server: str) -> None:
    check = engine.config()["Healthcheck"]
    assert isinstance(check, dict)
    kind, *command = check["Test"]
    assert kind == "CMD", shlex.join(check["Test"])
    passed = engine.run(*command)
    assert passed.returncode == 0, passed.stderr
    failed = engine.run("env", "CLOZE_PORT=9", *command)
    assert failed.returncode != 0


def test_sigterm_ends_the_server_in_its_grace_time(engine: Engine, server: str) -> None:
    assert engine.stop(GRACE_S) == 0
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server}/livez")
