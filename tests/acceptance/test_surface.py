"""Rows 17 to 19: evil files and evil callers."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.manifest import load_manifest, record_files, write_manifest
from tests.acceptance.conftest import Reached
from tests.conftest import Serve
from tests.export.read.test_pickled import Evil
from tests.models.test_graph_file import edit, place
from tests.running_server import RunningServer
from tests.server.process.test_lifecycle import intact, regex
from tests.server.test_keys import FIELDS, SECRET, entry
from tests.server.test_main import finished, run

REFUSED_S = 5.0

# --- 17 -----------------------------------------------------------------------------------------


def missing(folder: Path) -> str:
    (folder / "tokenizer.json").unlink()
    return "tokenizer.json"


def missing_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "manifest.json"


def truncated(folder: Path) -> str:
    os.truncate(folder / "model.onnx.data", (folder / "model.onnx.data").stat().st_size - 1)
    return "model.onnx.data"


def flipped_byte(folder: Path) -> str:
    content = bytearray((folder / "model.onnx.data").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.onnx.data").write_bytes(content)
    return "model.onnx.data"


def extra_file(folder: Path) -> str:
    (folder / "extra.bin").write_bytes(b"x")
    return "extra.bin"


def symlink(folder: Path) -> str:
    (folder / "tokenizer.json").rename(folder.parent / "_elsewhere.json")
    (folder / "tokenizer.json").symlink_to(folder.parent / "_elsewhere.json")
    return "tokenizer.json"


def hard_link(folder: Path) -> str:
    (folder.parent / "_elsewhere.data").hardlink_to(folder / "model.onnx.data")
    return "model.onnx.data"


def outside(folder: Path) -> str:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../_elsewhere.json"] = manifest["files"]["tokenizer.json"]
    shutil.copy(folder / "tokenizer.json", folder.parent / "_elsewhere.json")
    path.write_text(json.dumps(manifest))
    return "../_elsewhere.json"


DAMAGES = [
    missing, missing_manifest, truncated, flipped_byte, extra_file, symlink, hard_link, outside,
]  # fmt: skip


def test_17_model_faults(default_model: Path, tmp_path: Path, reached: Reached) -> None:
    """Model faults (missing, truncated, flipped byte, extra file, symlink, hard link, `..`): all
    refused in < 5 s, file named.
    """
    took, wrong = [], []
    for damage in DAMAGES:
        folder = tmp_path / damage.__name__ / "broken"
        shutil.copytree(default_model, folder)
        file = damage(folder)
        begun = time.monotonic()
        ended = run("--port", 0, "--models", folder.parent)
        took.append(time.monotonic() - begun)
        if ended.returncode != 3 or file not in ended.stderr or "Traceback" in ended.stderr:
            wrong.append((damage.__name__, ended.returncode, ended.stderr))
    reached(
        f"{len(took) - len(wrong)} of {len(took)} refused with exit 3 and the file named, the "
        f"slowest in {max(took):.1f} s from the start of the process",
        wrong == [],
        max(took) < REFUSED_S,
    )


# --- 18 -----------------------------------------------------------------------------------------

OPENED_OR_MADE = 0x20 | 0x100 | 0x2 | 0x1  # IN_OPEN, IN_CREATE, IN_MODIFY, IN_ACCESS


class Canary:
    """A folder with one file; the kernel tells whether anybody opens it or makes another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file, self.made = folder / "canary", folder / "made"
        self.file.write_bytes(bytes(1 << 16))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._events = self._libc.inotify_init1(os.O_NONBLOCK)
        watched = self._libc.inotify_add_watch(self._events, bytes(folder), OPENED_OR_MADE)
        assert min(self._events, watched) >= 0

    def touched(self) -> bool:
        """Whether something happened since this was asked last."""
        try:
            return bool(os.read(self._events, 1 << 16))
        except BlockingIOError:
            return False


def export(checkpoint: Path, *options: str) -> tuple[int, str, float]:
    """What the exporter makes of a checkpoint: exit code, what it said, how long it took."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "export", checkpoint, checkpoint.parent / "out", *options]
    ended = finished(command)
    return ended.returncode, ended.stderr + ended.stdout, time.monotonic() - begun


def evil_pickle(good: Path, folder: Path, canary: Canary) -> Path:
    shutil.copytree(good, folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    evil = pickle.dumps({"bert.pooler.dense.bias": Evil(canary.made)})
    (folder / "pytorch_model.bin").write_bytes(evil)
    pickle.loads(evil)  # noqa: S301 (the trap itself works)
    assert canary.touched()
    canary.made.unlink()
    return folder


def evil_tokenizer(good: Path, folder: Path, model: Path) -> Path:
    shutil.copytree(good, folder)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    regex(tokenizer, {})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def test_18_evil_checkpoint(classifiers: Path, tmp_path: Path, reached: Reached) -> None:
    """Evil checkpoint (pickle `__reduce__`, regex tokenizer, external data): a canary file is never
    touched.
    """
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    good, model = classifiers / "checkpoints" / "reviews", classifiers / "models" / "reviews"
    canary = Canary(tmp_path / "canary")
    told = {}
    checkpoint = evil_pickle(good, tmp_path / "pickled", canary)
    told["pickle"] = export(checkpoint)
    told["pickle, allowed"] = export(checkpoint, "--allow-pickle")
    told["regex, exported"] = export(evil_tokenizer(good, tmp_path / "regex", model))

    def served(name: str, change: Callable[[Path], object]) -> None:
        folder = tmp_path / name / "reviews"
        shutil.copytree(model, folder)
        change(folder)
        begun = time.monotonic()
        ended = run("--port", 0, "--models", folder.parent)
        told[name] = (ended.returncode, ended.stderr, time.monotonic() - begun)

    def split_by_regex(folder: Path) -> None:
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        regex(tokenizer, {})
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        intact(model, folder)

    def elsewhere(location: str) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            manifest = edit(folder, lambda graph: place(graph, location=location))
            write_manifest(folder, manifest)

        return change

    def linked(folder: Path) -> None:
        (folder / "model.onnx.data").unlink()
        (folder / "model.onnx.data").hardlink_to(canary.file)
        record = record_files(model)
        write_manifest(folder, dataclasses.replace(load_manifest(model), files=record))

    served("regex, served", split_by_regex)
    served("data at ..", elsewhere("../../canary/canary"))
    served("data at an absolute path", elsewhere(str(canary.file)))
    canary.touched()  # to link it counts
    served("data in a hard link", linked)
    refused = [name for name, (code, _, _) in told.items() if code != 0]
    reached(
        f"{len(refused)} of {len(told)} refused, the slowest in "
        f"{max(seconds for _, _, seconds in told.values()):.1f} s; canary "
        f"{'TOUCHED' if canary.touched() else 'not touched'}",
        refused == list(told),
        not canary.touched(),
        not any("Traceback" in said for _, said, _ in told.values()),
    )


# --- 19 -----------------------------------------------------------------------------------------

MADE_UP = 10_000


def series(server: RunningServer) -> int:
    """How many metric series there are."""
    shown = server.client.get(server.url + "/metrics", headers={"x-api-key": SECRET})
    return sum(not line.startswith("#") for line in shown.text.splitlines())


def made_up(number: int) -> bytes:
    """A request that names things that nobody knows."""
    path = [f"/models/m{number}/info", f"/p{number}", f"/docs/d{number}?q={number}"][number % 3]
    secret = SECRET if number % 2 else f"k{number}"
    fields = f"host: h{number}\r\nx-request-id: i{number}\r\nx-api-key: {secret}"
    return f"GET {path} HTTP/1.1\r\n{fields}\r\nuser-agent: u{number}\r\n\r\n".encode()


def send_made_up(server: RunningServer, numbers: range) -> int:
    """Sends them over one connection; how many were answered."""
    with server.connect() as connection:
        connection.sendall(b"".join(map(made_up, numbers)))
        connection.settimeout(30)
        received = b""
        answered = 0
        while answered < len(numbers):
            part = connection.recv(1 << 20)
            if not part:
                break
            received += part
            answered = received.count(b"HTTP/1.1 4")
        return answered


def test_19_callers(serve: Serve, default_model: Path, tmp_path: Path, reached: Reached) -> None:
    """Auth: a forged Host path, a non-ASCII key, doubled headers: 401; 10,000 made-up models, paths
    and ids leave the number of metric series constant.
    """
    (tmp_path / "keys.toml").write_text(entry("search", SECRET))
    server = serve(default_model, api_key_file=tmp_path / "keys.toml")
    statuses = {
        name: server.client.post(
            server.url + "/embed",
            json={"inputs": "a"},
            headers=[(field, value.encode("latin-1")) for field, value in fields],  # type: ignore[arg-type]
        ).status_code
        for name, fields in FIELDS.items()
    }
    send_made_up(server, range(60))
    series(server)  # which is a request too
    before = series(server)
    answered = sum(send_made_up(server, range(n, n + 500)) for n in range(0, MADE_UP, 500))
    after = series(server)
    server.kill()
    reached(
        f"{len(statuses)} kinds of wrong keys and heads: {sorted(set(statuses.values()))}; "
        f"{answered} made-up requests: {before} series before, {after} after",
        set(statuses.values()) == {401},
        {"not ASCII", "a forged host", "twice"} <= set(statuses),
        answered == MADE_UP,
        after == before,
    )
