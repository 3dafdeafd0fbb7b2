"""The checkout's Dockerfile -> an image, a container and its processes, by Docker or by Buildah.

Docker is used where an engine answers. Buildah (as root) needs no engine: it builds the same
Dockerfile, on a stand-in for the base image made from Debian's packages, and runs the image's
command in a chroot on the host's network. That shows neither a read-only root nor dropped
capabilities, which Docker does.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

REPOSITORY = Path(__file__).parents[2]
BASE_IMAGE = "docker.io/library/python:3.11-slim"
IMAGE = "localhost/cloze-under-test"
BUILD_LIMIT_S = 1200


class Engine(Protocol):
    """Builds the image once and runs one container of it."""

    def build(self) -> None:
        """Build the checkout's Dockerfile."""

    def config(self) -> dict[str, object]:
        """Return the image's configuration in Docker's spelling: User, Cmd, Healthcheck, ..."""

    def run(self, *command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the container; its output is text and its failure is no exception."""

    def start(self) -> str:
        """Start the image's own command and return the base URL at which it will answer."""

    def stop(self, grace_s: float) -> int:
        """Send SIGTERM to the server and return its exit status; raises when grace_s passes."""

    def remove(self) -> None:
        """End what is still running and remove the container."""


def output(*command: str, timeout_s: float = 120) -> str:
    """Run a command on the host and return what it printed; raises with its errors on failure."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, cwd=REPOSITORY, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command} exited {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Docker:
    """A Docker engine: the container runs as docker-compose.yml runs it."""

    def __init__(self) -> None:
        self.container = ""

    @staticmethod
    def usable() -> bool:
        """Tell whether an engine answers."""
        return (
            bool(shutil.which("docker"))
            and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
        )

    def build(self) -> None:
        output("docker", "build", "--tag", IMAGE, ".", timeout_s=BUILD_LIMIT_S)

    def config(self) -> dict[str, object]:
        images: list[dict[str, dict[str, object]]] = json.loads(output("docker", "inspect", IMAGE))
        return images[0]["Config"]

    def run(self, *command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        as_user = [] if user is None else ["--user", user]
        where = ["exec", *as_user, self.container]
        if not self.container:
            where = ["run", "--rm", *as_user, "--entrypoint", "", IMAGE]
        return subprocess.run(
            ["docker", *where, *command], capture_output=True, text=True, check=False
        )

    def start(self) -> str:
        hardened = "--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges"
        limits = "--memory 1g --cpus 2 --pids-limit 128 --publish 127.0.0.1::8080"
        options = [*hardened.split(), *limits.split()]
        self.container = output("docker", "run", "--detach", *options, IMAGE)
        address = output("docker", "port", self.container, "8080/tcp").splitlines()[0]
        return f"http://{address}"

    def stop(self, grace_s: float) -> int:
        output("docker", "kill", "--signal", "TERM", self.container)
        return int(output("docker", "wait", self.container, timeout_s=grace_s))

    def remove(self) -> None:
        if self.container:
            output("docker", "rm", "--force", self.container)


class Buildah:
    """Buildah with a storage folder of its own, so that it touches no image of the user's."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "cloze"
        self.cache = cache / "container"
        self.storage = [
            *("--storage-driver", "vfs"),
            *("--root", str(self.cache / "storage")),
            *("--runroot", str(self.cache / "run")),
        ]
        self.container = ""
        self.server: subprocess.Popen[bytes] | None = None

    @staticmethod
    def usable() -> bool:
        """Tell whether buildah and what the stand-in is made with are here, and may be used."""
        return os.geteuid() == 0 and all(map(shutil.which, ("buildah", "debootstrap")))

    def buildah(self, *arguments: str) -> str:
        """Run one buildah command and return what it printed."""
        return output("buildah", *self.storage, *arguments, timeout_s=BUILD_LIMIT_S)

    def build(self) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        if BASE_IMAGE not in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
            script = str(REPOSITORY / "scripts" / "stand-in-image.sh")
            arguments = (BASE_IMAGE, str(self.cache), *self.storage)
            output(script, *arguments, timeout_s=BUILD_LIMIT_S)
        # HEALTHCHECK is kept in Docker's image format only.
        options = ["--format", "docker", "--isolation", "chroot", "--network", "host"]
        certificates = os.environ.get("SSL_CERT_FILE")
        if certificates:  # a network with an authority of its own: the build must trust it too
            options += ["--volume", f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro"]
        self.buildah("build", *options, *self.pinned(), "--pull-never", "--tag", IMAGE, ".")
        self.container = self.buildah("from", "--pull-never", IMAGE)

    def pinned(self) -> list[str]:
        """Name the base image by its digest, as who pins it does; Docker builds on the default."""
        image = ("--type", "image", "--format", "{{.FromImageDigest}}", BASE_IMAGE)
        repository, _, _ = BASE_IMAGE.rpartition(":")
        digest = self.buildah("inspect", *image)
        return ["--build-arg", f"PYTHON_IMAGE={repository}@{digest}"]

    def config(self) -> dict[str, object]:
        description = json.loads(self.buildah("inspect", "--type", "image", IMAGE))
        config: dict[str, object] = description["Docker"]["config"]
        return config

    def _run_command(self, user: str | None, command: list[str]) -> list[str]:
        as_user = [] if user is None else ["--user", user]
        run = ["run", "--isolation", "chroot", *as_user, self.container, "--"]
        return ["buildah", *self.storage, *run, *command]

    def run(self, *command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._run_command(user, list(command)), capture_output=True, text=True, check=False
        )

    def start(self) -> str:
        port = free_port()
        self.buildah("config", "--env", f"CLOZE_PORT={port}", self.container)
        command = self.config()["Cmd"]
        assert isinstance(command, list)
        self.server = subprocess.Popen(self._run_command(None, command))
        return f"http://127.0.0.1:{port}"

    def stop(self, grace_s: float) -> int:
        if self.server is None:
            raise RuntimeError("the server was not started")
        *_, server = descendants(self.server.pid)  # the last one is the image's command itself
        os.kill(server, signal.SIGTERM)
        return self.server.wait(grace_s)

    def remove(self) -> None:
        if self.server is not None and self.server.poll() is None:
            for process in reversed(list(descendants(self.server.pid))):
                os.kill(process, signal.SIGKILL)
            self.server.wait(10)
        if self.container:
            self.buildah("rm", self.container)
            self.buildah("rmi", IMAGE)


def descendants(pid: int) -> Iterator[int]:
    """Yield a process's children and their children, parents first."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield child
            yield from descendants(child)
