"""How sessions are opened: exact int8 products on every processor, and denormals flushed."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from export.check import parity
from models import opening
from models.manifest import load_manifest
from server.inference.runtime.packing import Encoding, Item, SentenceVector
from server.inference.runtime.session import Session, SessionOptions
from tests.running_server import REPOSITORY

# Both ways multiply the same integers; sums of floats around them may be ordered differently.
TOLERANCE = 1e-4


def test_an_x86_processor_without_vnni_gets_the_exact_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_info = tmp_path / "cpuinfo"
    monkeypatch.setattr(opening, "CPU_INFO", cpu_info)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    cpu_info.write_text("flags\t\t: fpu avx2\n", encoding="utf-8")
    assert opening.precision_entries() == {"session.x64quantprecision": "1"}
    cpu_info.write_text("flags\t\t: fpu avx2 avx_vnni\n", encoding="utf-8")
    assert opening.precision_entries() == {}


def test_the_way_around_saturation_gives_the_same_vectors(
    default_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = np.array([101, 3000, 2003, 1996, 3007, 1997, 2605, 102])
    item = Item(Encoding(ids, np.zeros(len(ids), np.int64)), SentenceVector("mean"))
    manifest = load_manifest(default_model)
    usual = Session(default_model, manifest, SessionOptions()).run([item])[0]
    monkeypatch.setattr(
        "models.opening.precision_entries",
        lambda: {"session.x64quantprecision": "1"},
    )
    careful = Session(default_model, manifest, SessionOptions()).run([item])[0]
    assert isinstance(usual, np.ndarray)
    assert isinstance(careful, np.ndarray)
    np.testing.assert_allclose(careful, usual, atol=TOLERANCE)


def test_onnx_runtime_knows_the_entry() -> None:
    options = ort.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    assert options.get_session_config_entry("session.x64quantprecision") == "1"


# A graph that doubles what it gets, opened first of all in its process, is given a denormal.
DOUBLES = """
import sys
from pathlib import Path
import numpy as np
import onnx
from onnx import TensorProto, helper
from models.opening import open_session
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
path = Path(sys.argv[1]) / "model.onnx"
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
session = open_session(path, threads=1)
for value in (1e-39, 1e-30):
    print(session.run(["y"], {"x": np.array([value], np.float32)})[0][0] != 0)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what is flushed there is x86's MXCSR")
def test_denormals_are_flushed_on_the_thread_that_opens_the_first_session(tmp_path: Path) -> None:
    child = [sys.executable, "-c", DOUBLES, str(tmp_path)]
    done = subprocess.run(child, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_parity_and_server_open_graphs_the_same_way(default_model: Path) -> None:
    entries = ("session.set_denormal_as_zero", "session.force_spinning_stop")
    checked = parity.open_graph(default_model).get_session_options()
    served = Session(default_model, load_manifest(default_model), SessionOptions())
    serving = served._session.get_session_options()
    for entry in entries:
        assert checked.get_session_config_entry(entry) == "1"
        assert serving.get_session_config_entry(entry) == "1"
