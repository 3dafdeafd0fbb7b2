"""int8 stays exact on every processor, and fast on those that have VNNI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from models import opening
from models.manifest import load_manifest
from server.inference.runtime.packing import Encoding, Item, SentenceVector
from server.inference.runtime.session import Session, SessionOptions

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
