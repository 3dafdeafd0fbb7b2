"""A repository in, how long a newcomer waits for the first answer on its page out, in seconds.

It is cloned into a new folder and started there as README.md says, by `make serve`, with an empty
cache of pip's, on a port that is free. Then a Chromium that was never there opens the page, until
it shows what stands in the first blank. All is stopped and deleted at the end.

    $ .venv-dev/bin/python -m scripts.first_answer [REPOSITORY]

REPOSITORY is a path or an address that git clones; this one by default, its last commit. Needs
what `make test` installs, and Chromium.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).resolve().parents[1]
PATIENCE_S = 900.0  # to install and start; a slow line takes minutes
ANSWERED = '[aria-label="Candidates for blank 1"] li'
# Variables of whoever runs this that a newcomer has not.
OURS = ("CLOZE_", "PYTHONPATH", "VIRTUAL_ENV", "MAKE")
STEPS = ("cloned", "installed and ready", "the page's first answer")


class NotServedError(Exception):
    """The clone did not come to answer; the message says how far it came."""


def main(repository: str = str(HERE)) -> None:
    """Print when each step was done, counted from the beginning."""
    with (
        TemporaryDirectory(prefix="first-answer-") as folder,
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        ) as browser,
    ):
        begun = time.monotonic()
        for step, done in zip(STEPS, steps(repository, Path(folder), browser), strict=True):
            print(f"{done - begun:7.1f} s  {step}", flush=True)


def steps(repository: str, folder: Path, browser: Browser) -> Iterator[float]:
    """Do each of `STEPS` in turn, in an empty folder, and say when it was done.

    Raises:
        NotServedError: the server ended, or did not answer in time.
    """
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-local", repository, clone], check=True)
    yield time.monotonic()
    port = free_port()
    with served(clone, folder, port) as process:
        wait_until_ready(process, f"http://127.0.0.1:{port}/readyz")
        yield time.monotonic()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator(ANSWERED).first.wait_for()
        yield time.monotonic()


@contextmanager
def served(clone: Path, folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`make serve` in the clone, with nothing in its caches, and all that it starts."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environment = known | {"PIP_CACHE_DIR": str(folder / "pip"), "CLOZE_PORT": str(port)}
    command = ["make", "serve"]
    process = subprocess.Popen(command, cwd=clone, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], probe: str) -> None:
    """Return once the probe is answered."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise NotServedError(f"`make serve` ended with status {process.returncode}.")
        try:
            with urlopen(probe) as answer:  # noqa: S310 - our own address
                answer.read()
        except (URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise NotServedError(f"`make serve` was not ready after {PATIENCE_S:.0f} s.")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
