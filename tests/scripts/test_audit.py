"""What `make audit` says and how it ends: findings, nothing found, nobody to ask, and trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.running_server import REPOSITORY

PACKAGE = "{name}==1.0 ; sys_platform == 'another' \\\n    --hash=sha256:" + "0" * 64 + "\n"
NOT_AUDITED = (
    "NOT AUDITED: no advisory service (PyPI's, OSV) answers here; the lock files are well formed.\n"
)

# Ends as pip-audit does: a service that answers knows the control, what is "holed" is vulnerable.
STAND_IN = """#!/bin/sh
for lock; do :; done
case "$*" in
*--dry-run*) grep -q sha256 "$lock" ;;
*"-service osv"*"--format json"*) [ "$ANSWERS" ] && echo '{"id": "PYSEC-1"}'; exit 1 ;;
*"--format json"*) echo '{"skip_reason": "not found"}' ;;
*) ! grep holed "$lock" ;;
esac
"""

Advise = Callable[[str], int | bool]  # package -> whether it has an advisory, or a status


def audit(
    folder: Path, programs: Path, locks: dict[str, str], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the script over these lock files, with pip-audit from this folder."""
    (folder / "scripts").mkdir()
    (folder / "requirements").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "audit.sh", folder / "scripts")
    for name, text in locks.items():
        (folder / "requirements" / f"{name}.txt").write_text(text)
    return subprocess.run(
        [folder / "scripts" / "audit.sh", *arguments],
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def lock(*names: str) -> str:
    return "".join(PACKAGE.format(name=name) for name in names)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip-audit").write_text(STAND_IN)
    (tmp_path / "bin" / "pip-audit").chmod(0o755)
    return tmp_path / "bin"


@pytest.mark.parametrize(("name", "status"), [("sound", 0), ("holed", 1)])
def test_findings_alone_are_a_failure(
    tmp_path: Path, stand_in: Path, name: str, status: int
) -> None:
    locks = {"export": lock(name), "serve": lock("sound"), "torch-cpu": lock("holed")}
    done = audit(tmp_path, stand_in, locks, ANSWERS="yes")
    assert done.returncode == status, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("requirements/")]
    assert told == ["requirements/export.txt:", "requirements/serve.txt:"]


def test_nobody_to_ask_is_said_in_one_line(tmp_path: Path, stand_in: Path) -> None:
    done = audit(tmp_path, stand_in, {"serve": lock("holed")}, ANSWERS="")
    assert (done.returncode, done.stdout, done.stderr) == (0, NOT_AUDITED, "")


@pytest.mark.parametrize("answers", ["yes", ""])
def test_broken_lock_is_a_failure(tmp_path: Path, stand_in: Path, answers: str) -> None:
    locks = {"export": lock("sound"), "serve": "sound==1.0\n"}
    done = audit(tmp_path, stand_in, locks, ANSWERS=answers)
    assert done.returncode == 1
    assert done.stderr.endswith("requirements/serve.txt cannot be audited\n")
    assert not done.stdout


@pytest.fixture(scope="module")
def programs() -> Path:
    """Install the real pip-audit, as `make audit` does."""
    made = ["make", ".venv-audit/.installed"]
    subprocess.run(made, cwd=REPOSITORY, check=True, capture_output=True)
    return REPOSITORY / ".venv-audit" / "bin"


@pytest.fixture
def service() -> Iterator[Callable[[Advise], str]]:
    """Serve OSV's API on this machine, with these advisories; its URL."""
    advise: Advise = bool

    class Osv(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            package = asked["package"]
            advised = advise(package["name"])
            found = {"id": "PYSEC-2019-179", "summary": "-", "affected": [{"package": package}]}
            answer = json.dumps({"vulns": [found]} if advised else {}).encode()
            self.send_response(200 if isinstance(advised, bool) else advised)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    def start(wanted: Advise) -> str:
        nonlocal advise
        advise = wanted
        return f"http://127.0.0.1:{server.server_port}/v1/query"

    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        Thread(target=server.serve_forever).start()
        yield start
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("advise", "status", "told"),
    [
        (lambda name: name == "flask", 0, "No known vulnerabilities found"),
        (lambda name: name in {"flask", "holed"}, 1, "Found 1 known vulnerability in 1 package"),
        (lambda name: name == "flask" or 500, 1, "requirements/serve.txt:"),
        (lambda _: 404, 0, NOT_AUDITED),
        (lambda _: False, 0, NOT_AUDITED),
    ],
    ids=["sound", "holed", "breaks off", "not found", "knows nothing"],
)
def test_pip_audit_ends_so(
    tmp_path: Path,
    programs: Path,
    service: Callable[[Advise], str],
    advise: Advise,
    status: int,
    told: str,
) -> None:
    here = ("-s", "osv", "--osv-url", service(advise))
    done = audit(tmp_path, programs, {"serve": lock("sound", "holed")}, *here)
    assert done.returncode == status, done.stderr
    assert told in done.stdout + done.stderr
    assert (told == NOT_AUDITED) == (NOT_AUDITED in done.stdout)


@pytest.mark.slow
def test_pip_audit_finds_nobody_at_a_closed_port(tmp_path: Path, programs: Path) -> None:
    here = ("-s", "osv", "--osv-url", "http://127.0.0.1:9/")
    done = audit(tmp_path, programs, {"serve": lock("sound")}, *here)
    assert (done.returncode, done.stdout, done.stderr) == (0, NOT_AUDITED, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["sound==1.0\n", "a line that is none\n", lock("a").replace("==", ">=")]
)
def test_pip_audit_refuses_a_broken_lock(tmp_path: Path, programs: Path, text: str) -> None:
    done = audit(tmp_path, programs, {"serve": text})
    assert done.returncode == 1
    assert done.stderr.endswith("requirements/serve.txt cannot be audited\n")


@pytest.mark.slow
def test_all_lock_files_can_be_audited(programs: Path, service: Callable[[Advise], str]) -> None:
    asked = set[str]()

    def advise(name: str) -> bool:
        asked.add(name)
        return name == "flask"

    here = f"-s osv --osv-url {service(advise)}"
    done = subprocess.run(
        ["make", "audit", f"ARGS={here}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Windows' alone, and the training's, and the audit's own.
    assert {"colorama", "torch", "onnxruntime-gpu", "pip-audit"} <= asked
