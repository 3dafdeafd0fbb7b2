"""The name of a peer -> a virtual environment of its own with its pinned packages, built once."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cloze import REPOSITORY

ENVIRONMENTS = REPOSITORY / ".venv-peers"
REQUIREMENTS = Path(__file__).parent / "requirements"
# PyTorch's CPU build where pip is configured to find it, otherwise the registry's.
TORCH = [REPOSITORY / "requirements" / name for name in ("torch-cpu.txt", "torch.txt")]
SHOWN_LINES = 3


def python_of(name: str) -> Path:
    """Return the interpreter of a peer's environment, which `build` makes."""
    return ENVIRONMENTS / name / "bin" / "python"


def build(name: str) -> None:
    """Install a peer's locked packages, wheels only, unless this was done before.

    Raises:
        RuntimeError: a package could not be installed; with what pip printed last.
    """
    folder, lock = ENVIRONMENTS / name, REQUIREMENTS / f"{name}.txt"
    done = folder / ".installed"
    if done.exists() and done.read_text() == lock.read_text():
        return
    print(f"installing {name} into {folder.relative_to(REPOSITORY)}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-m", "venv", str(folder)])
    install(name, lock)
    if "torch==" in (REQUIREMENTS / f"{name}.in").read_text():
        small, large = TORCH
        try:
            install(name, small)
        except RuntimeError:
            install(name, large)
    done.write_text(lock.read_text())


def install(name: str, lock: Path) -> None:
    """Install a lock file, checking every hash."""
    pip = [str(python_of(name)), "-m", "pip", "install", "--quiet", "--no-input"]
    strict = ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    call([*pip, *strict, "--only-binary", ":all:", "--requirement", str(lock)])


def call(command: Sequence[str]) -> str:
    """Run a command and return what it printed.

    Raises:
        RuntimeError: it failed; with the last lines of its errors.
    """
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise RuntimeError(" / ".join(lines[-SHOWN_LINES:]) or f"exit {done.returncode}")
    return done.stdout
