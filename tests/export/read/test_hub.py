"""Fetching by id, from a server on this machine that answers what huggingface_hub asks."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from safetensors.torch import load_file

from export.read.checkpoint import read_checkpoint
from tests.sentence_folders import save_sentences

ROOT = Path(__file__).parents[3]
SHA = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/tiny-bert"
READ = """
import json, sys
from export.read.checkpoint import read_checkpoint
from export.errors import ExportError
for options in json.loads(sys.argv[1]):
    try:
        checkpoint = read_checkpoint(**options)
        total = sum(float(checkpoint.weights[name].sum()) for name in checkpoint.weights)
        print(json.dumps([checkpoint.name, checkpoint.source, checkpoint.heads, total]))
    except ExportError as error:
        print(json.dumps(str(error)))
"""


class Hub(BaseHTTPRequestHandler):
    """One public repository, one gated one."""

    files: dict[str, bytes]
    fetched: list[str]
    port: int

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {"X-Repo-Commit": SHA}
        if path.startswith("/api/models/someone/gated"):
            self.send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        elif not path.removeprefix("/api/models").startswith(f"/{REPOSITORY}/"):
            self.send(404, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        elif not any(f"/{name}" in path for name in (SHA, "main")):
            self.send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith("/api/"):
            kind = path.split("/")[5]
            self.send(200, self.tree() if kind == "tree" else self.info(), headers, body=body)
        else:
            name = path.partition("/resolve/")[2].partition("/")[2]
            content = self.files[name]
            etag = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'}  # noqa: S324 (an ETag)
            self.send(200, content, headers | etag, body=body)
            if body:
                self.fetched.append(name)

    def tree(self) -> bytes:
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": SHA}
            for name, content in self.files.items()
        ]
        return json.dumps(entries).encode()

    def info(self) -> bytes:
        siblings = [{"rfilename": name} for name in self.files]
        return json.dumps({"id": REPOSITORY, "sha": SHA, "siblings": siblings}).encode()

    def send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the test's output is not the place."""


Read = Callable[..., list[Any]]


@pytest.fixture
def hub(bert: Path) -> Iterator[type[Hub]]:
    """The handler of a running server, whose repository holds a whole checkpoint and more."""
    files = {path.name: path.read_bytes() for path in bert.iterdir()}
    files |= {"tf_model.h5": b"not needed", "onnx/model.onnx": b"not needed"}
    files |= {"pytorch_model.bin": b"not needed", "training_args.bin": b"not needed"}

    class Handler(Hub):
        """This test's own."""

    Handler.files, Handler.fetched = files, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.port = server.server_port
    Thread(target=server.serve_forever, daemon=True).start()
    yield Handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def read(hub: type[Hub], tmp_path: Path) -> Read:
    """`read({"source": ...}, ...)`: each by read_checkpoint, in a process whose hub is that server.

    An answer is what the checkpoint is, or the sentence that refuses it.
    """

    def read(*requests: dict[str, object], port: int | None = None) -> list[Any]:
        endpoint = f"http://127.0.0.1:{port or hub.port}"
        environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache")}
        environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        inherited = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        child = subprocess.run(
            [sys.executable, "-c", READ, json.dumps(requests)],
            cwd=ROOT,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=120,
        )
        return [json.loads(line) for line in child.stdout.splitlines()]

    return read


def test_id_is_fetched_and_only_what_is_needed(hub: type[Hub], read: Read, bert: Path) -> None:
    first, again = read({"source": REPOSITORY}, {"source": REPOSITORY, "revision": SHA})
    name, source, heads, total = first
    assert (name, source, heads) == ("tiny-bert", REPOSITORY, ["mlm", "nsp", "pooler"])
    expected = sum(float(t.sum()) for t in load_file(bert / "model.safetensors").values())
    assert total == pytest.approx(expected, abs=1e-3)
    assert set(hub.fetched) == {"config.json", "model.safetensors", "vocab.txt"}
    assert again[1] == f"{REPOSITORY}@{SHA}"
    assert len(hub.fetched) == 3  # the second time from the cache


def test_pickle_is_fetched_only_on_demand(hub: type[Hub], read: Read, bert: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    torch.save(tensors, bert / "pytorch_model.bin")
    hub.files["pytorch_model.bin"] = (bert / "pytorch_model.bin").read_bytes()
    del hub.files["model.safetensors"]
    (refused,) = read({"source": REPOSITORY})
    assert "--allow-pickle" in refused
    assert "pytorch_model.bin" not in hub.fetched
    (found,) = read({"source": REPOSITORY, "allow_pickle": True})
    assert found[2] == ["mlm", "nsp", "pooler"]
    assert "pytorch_model.bin" in hub.fetched


def unlike(*names: str) -> dict[str, bytes]:
    """Files of these names, each with a content of its own: the same is fetched only once."""
    return {name: json.dumps({"name": name}).encode() for name in names}


def test_every_modules_and_every_tokenizers_files_are_fetched(hub: type[Hub], read: Read) -> None:
    wanted = unlike(
        "config_sentence_transformers.json",
        "sentence_roberta_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "1_Pooling/config.json",
        "2_Dense [old]/config.json",
        "2_Dense [old]/model.safetensors",
    )
    unwanted = unlike("checkpoint-9/model.safetensors", "2_Dense [old]/x.bin", "3_/config.json")
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense [old]": "Dense", "../3_": "Dense"}
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in kinds.items()
    ]
    hub.files |= wanted | unwanted | {"modules.json": json.dumps(modules).encode()}
    read({"source": REPOSITORY})  # refused, for the folder outside: what is tested is what came
    assert set(hub.fetched) >= wanted.keys()
    assert not set(hub.fetched) & unwanted.keys()


def test_pickle_comes_into_the_folder_that_has_no_safetensors(hub: type[Hub], read: Read) -> None:
    names = ("2_Dense/pytorch_model.bin", "0_Transformer/model.safetensors")
    hub.files |= unlike(*names, "0_Transformer/pytorch_model.bin")
    modules = [{"path": name.partition("/")[0], "type": "x.y"} for name in names]
    hub.files["modules.json"] = json.dumps(modules).encode()
    read({"source": REPOSITORY, "allow_pickle": True})
    assert set(hub.fetched) >= set(names)
    assert "0_Transformer/pytorch_model.bin" not in hub.fetched


@pytest.mark.parametrize("modules", [b"[", b"{}", b"[1]", b'[{"path": 3}]', b"\xff"])
def test_modules_that_are_odd_are_told_as_in_a_folder(
    hub: type[Hub], read: Read, modules: bytes
) -> None:
    hub.files["modules.json"] = modules
    (refused,) = read({"source": REPOSITORY})
    assert "modules.json" in refused


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["onnx/model_O4.onnx"], "but an ONNX graph (onnx/model_O4.onnx)."),
        (["adapter_config.json", "adapter_model.bin"], "but an adapter (adapter_config.json)."),
        (["bert.gguf", "flax_model.msgpack"], "weights for Flax (flax_model.msgpack) and a GGUF"),
        (["pytorch_model.bin"], "are read only with --allow-pickle."),
        ([], "The checkpoint has no model.safetensors, which Cloze needs."),
    ],
)
def test_what_the_hub_has_instead_of_weights_is_said(
    hub: type[Hub], read: Read, names: list[str], sentence: str
) -> None:
    files = {name: hub.files[name] for name in ("config.json", "vocab.txt")}
    hub.files = files | unlike(*names)
    (refused,) = read({"source": REPOSITORY})
    assert sentence in refused
    assert set(hub.fetched) <= {*files, "adapter_config.json"}


def test_modules_of_sentence_transformers_come_with_their_weights(
    hub: type[Hub], read: Read, tmp_path: Path
) -> None:
    folder = save_sentences("deep", tmp_path / "deep")
    paths = [path for path in folder.rglob("*") if path.is_file()]
    hub.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    weights = load_file(folder / "2_Dense" / "model.safetensors")
    torch.save(weights, tmp_path / "pickle")
    del hub.files["2_Dense/model.safetensors"]
    pickles = {
        f"{place}pytorch_model.bin": (tmp_path / "pickle").read_bytes()
        for place in ("", "2_Dense/", "5_Dense/")
    }
    hub.files |= pickles | {"2_Dense/notes.txt": b"not needed"}
    refused, found = read({"source": REPOSITORY}, {"source": REPOSITORY, "allow_pickle": True})
    assert "2_Dense has no model.safetensors" in refused
    checkpoint = read_checkpoint(folder)
    total = sum(float(checkpoint.weights[name].sum()) for name in checkpoint.weights)
    assert found[3] == pytest.approx(total, abs=1e-3)
    others = [name for name in hub.fetched if name.endswith((".bin", ".txt"))]
    assert others == ["2_Dense/pytorch_model.bin"]
    assert "8_Dense/model.safetensors" in hub.fetched


def test_what_the_hub_does_not_give_is_one_sentence(read: Read) -> None:
    other, mine, gated, version = read(
        {"source": "someone/else"},
        {"source": "models-of-mine"},
        {"source": "someone/gated"},
        {"source": REPOSITORY, "revision": "v9"},
    )
    assert "someone/else is neither a folder here nor a model on http" in other
    assert "models-of-mine is neither a folder here nor a model on http" in mine
    assert "is gated" in gated
    assert "has no revision v9" in version


def test_hub_that_cannot_be_reached_is_one_sentence(read: Read) -> None:
    (unreached,) = read({"source": REPOSITORY}, port=9)
    assert "fetching it from http://127.0.0.1:9 failed" in unreached
