"""What the builder leaves on disk, read back with the onnx library and run by onnxruntime."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from export.check import parity
from export.graph.builder import (
    ALIGNMENT,
    DATA_FILE,
    GRAPH_FILE,
    INLINE_BYTES,
    OPSET,
    GraphBuilder,
)

# Odd sizes, so that offsets need padding; all but the last are too large to stay in model.onnx.
WEIGHTS: dict[str, NDArray[Any]] = {
    "a": np.arange(7 * 43, dtype=np.float32).reshape(7, 43),
    "b": np.arange(1031, dtype=np.int64).astype(np.int8),
    "c": np.linspace(-1, 1, 13 * 45, dtype=np.float32).reshape(13, 45)[:, ::2],
    "d": np.arange(6, dtype=np.float32).reshape(3, 2).T,
}


def write(folder: Path, *, repeat: bool = False) -> onnx.ModelProto:
    """A graph with all of `WEIGHTS`, y = x + a; the model as it is on disk."""
    folder.mkdir()
    with GraphBuilder(folder) as graph:
        x = graph.input("x", TensorProto.FLOAT, ["rows", 43])
        for _ in range(1 + repeat):
            for name, value in WEIGHTS.items():
                assert graph.weight(name, value) == name
        graph.output(graph.node("Add", x, "a"), "y", TensorProto.FLOAT, ["rows", 43])
        graph.write()
    return onnx.load(folder / GRAPH_FILE, load_external_data=False)


def places(model: onnx.ModelProto) -> dict[str, dict[str, str]]:
    return {
        tensor.name: {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.data_location == TensorProto.EXTERNAL
    }


def test_weights_lie_in_the_data_file_on_cache_lines(tmp_path: Path) -> None:
    found = places(write(tmp_path / "graph"))
    data = (tmp_path / "graph" / DATA_FILE).read_bytes()
    assert set(found) == {"a", "b", "c"}
    end = 0
    for name, place in found.items():
        assert place["location"] == DATA_FILE
        offset, length = int(place["offset"]), int(place["length"])
        assert offset % ALIGNMENT == 0
        assert end <= offset < end + ALIGNMENT, "weights follow each other"
        end = offset + length
        assert data[offset:end] == WEIGHTS[name].tobytes()
    assert len(data) == end


def test_weights_are_read_back_as_they_were(tmp_path: Path) -> None:
    write(tmp_path / "graph")
    model = onnx.load(tmp_path / "graph" / GRAPH_FILE)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert set(found) == set(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_weight_asked_for_twice_is_written_once(tmp_path: Path) -> None:
    once, twice = write(tmp_path / "once"), write(tmp_path / "twice", repeat=True)
    assert len(twice.graph.initializer) == len(WEIGHTS)
    assert once.SerializeToString() == twice.SerializeToString()
    sizes = {(tmp_path / name / DATA_FILE).stat().st_size for name in ("once", "twice")}
    assert len(sizes) == 1


def test_folder_holds_the_graph_and_its_data_only(tmp_path: Path) -> None:
    write(tmp_path / "graph")
    names = {path.name for path in (tmp_path / "graph").iterdir()}
    assert names == {GRAPH_FILE, DATA_FILE} == {"model.onnx", "model.onnx.data"}
    assert WEIGHTS["b"].tobytes() not in (tmp_path / "graph" / GRAPH_FILE).read_bytes()


@pytest.mark.parametrize(("count", "external"), [(INLINE_BYTES - 1, False), (INLINE_BYTES, True)])
def test_small_weights_stay_in_the_graph(tmp_path: Path, count: int, external: bool) -> None:
    with GraphBuilder(tmp_path) as graph:
        w = graph.weight("w", np.ones(count, np.int8))
        graph.output(graph.node("Identity", w), "y", TensorProto.INT8, [count])
        graph.write()
    assert (tmp_path / DATA_FILE).stat().st_size == (count if external else 0)


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    digests = set()
    for name in ("first", "second"):
        write(tmp_path / name)
        files = [(tmp_path / name / file).read_bytes() for file in (GRAPH_FILE, DATA_FILE)]
        digests.add(hashlib.sha256(b"".join(files)).hexdigest())
    assert len(digests) == 1


def test_graph_runs(tmp_path: Path) -> None:
    write(tmp_path / "graph")
    x = np.full((7, 43), 0.5, np.float32)
    (found,) = parity.open_graph(tmp_path / "graph").run(["y"], {"x": x})
    np.testing.assert_array_equal(found, x + WEIGHTS["a"])


def test_graph_passes_the_checker_in_full(tmp_path: Path) -> None:
    model = write(tmp_path / "graph")
    onnx.checker.check_model(tmp_path / "graph" / GRAPH_FILE, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET


def test_graph_that_reads_what_nobody_computes_is_refused(tmp_path: Path) -> None:
    with GraphBuilder(tmp_path) as graph:
        graph.output(graph.node("Relu", "nowhere"), "y", TensorProto.FLOAT, ["rows"])
        with pytest.raises(onnx.checker.ValidationError, match="nowhere"):
            graph.write()


def test_equal_constants_are_one(tmp_path: Path) -> None:
    with GraphBuilder(tmp_path) as graph:
        first, second = (graph.constant(np.array([1, -1], np.int64)) for _ in range(2))
        others = {
            graph.constant(np.array([1, -1], np.int32)),
            graph.constant(np.array([[1, -1]], np.int64)),
            graph.constant(np.array([1, 1], np.int64)),
        }
        assert first == second
        assert len(others | {first}) == 4


def test_names_say_where_a_node_is_and_never_clash(tmp_path: Path) -> None:
    with GraphBuilder(tmp_path) as graph:
        x = graph.input("x", TensorProto.FLOAT, ["rows"])
        with graph.scope("layers.0"):
            with graph.scope("attention"):
                assert graph.node("Relu", x) == "layers.0/attention/Relu"
                assert graph.node("Relu", x) == "layers.0/attention/Relu_1"
            assert graph.node("Relu", x) == "layers.0/Relu"
        assert graph.nodes("Split", x, outputs=2, axis=0) == ["Split:0", "Split:1"]


def test_scope_ends_where_it_fails(tmp_path: Path) -> None:
    with GraphBuilder(tmp_path) as graph:
        with pytest.raises(KeyError), graph.scope("layers.0"):
            raise KeyError
        assert graph.node("Relu", "x") == "Relu"


def test_data_file_is_closed_where_building_fails(tmp_path: Path) -> None:
    # A file left open would end this test: warnings are errors, ResourceWarning among them.
    builder = GraphBuilder(tmp_path)
    with pytest.raises(KeyError), builder:
        raise KeyError
    assert builder._data.closed


def test_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / DATA_FILE).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"), GraphBuilder(tmp_path) as graph:
        graph.weight("large", np.zeros((400, 300), np.float32))
