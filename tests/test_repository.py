"""The checkout -> what must hold for all its files: who imports whom, and what no file says."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# Imports point one way: package -> the packages of this repository that it may import.
MAY_IMPORT = {
    "models": {"models"},
    "export": {"export", "models"},
    "server": {"server", "models"},
    "benchmarks": {"benchmarks", "server", "models"},
    "training": {"training", "export", "server", "models"},
    "scripts": {"scripts", "server", "training", "benchmarks"},
}
# Of the exporter, training knows what reads a checkpoint and what the weights are called.
MAY_TRAIN_WITH = ("export.read.", "export.architectures.", "export.errors")
# And of the server, to measure a model as it is served, what answers without HTTP.
MAY_SERVE_WITH = {
    "training/evaluate/labelled/served.py": (
        "server.inference.",
        "server.errors",
        "server.settings",
    ),
}
# Within the server, inference knows nothing of HTTP.
INFERENCE_MAY_IMPORT = ("server.inference", "server.errors", "server.settings", "models")

# Distribution -> module, where the two differ.
MODULE_OF = {
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "protobuf": "google",
    "onnxruntime-gpu": "onnxruntime",
    "google-crc32c": "google_crc32c",
    "huggingface-hub": "huggingface_hub",
    "ml-dtypes": "ml_dtypes",
    "prometheus-client": "prometheus_client",
    "pydantic-settings": "pydantic_settings",
    "scikit-learn": "sklearn",
}
# The locks that a server is installed from -> their ONNX Runtime.
SERVING = {"serve": "onnxruntime", "serve-cuda": "onnxruntime-gpu"}
# Installed with a declared package, whose own documentation has one import them directly.
COMES_WITH = {"fastapi": {"starlette"}, "pydantic": {"pydantic_core"}}


def files(*patterns: str) -> list[Path]:
    """List what is tracked or would be, so that build products and environments are left out."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (REPOSITORY / name for name in listing.split("\0") if name)
    return [path for path in paths if path.is_file()]


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{path}: a relative import"
            yield node.module


def third_party(*packages: str) -> set[str]:
    """Return the top-level modules that packages import and that are not Python's or ours."""
    return third_party_of(files(*(f"{package}/*.py" for package in packages)))


def third_party_of(paths: Iterable[Path]) -> set[str]:
    """Return the top-level modules that files import and that are not Python's or ours."""
    imported = {module.partition(".")[0] for path in paths for module in imported_modules(path)}
    return imported - set(sys.stdlib_module_names) - set(MAY_IMPORT)


def loaded_with(package: str) -> set[Path]:
    """Return the files of ours that importing all of a package loads, of whatever package."""
    waiting, found = set(files(f"{package}/*.py")), set[Path]()
    while waiting:
        path = waiting.pop()
        found.add(path)
        for node in ast.parse(path.read_text()).body:  # what is in functions is loaded later
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
                places = [REPOSITORY.joinpath(*name.split(".")) for name in names]
                ours = {place.with_suffix(".py") for place in places}
                ours |= {place / "__init__.py" for place in places}
                waiting |= {path for path in ours if path.is_file()} - found
    return found


def declared(group: str) -> set[str]:
    """Return the modules that a group or an extra of pyproject.toml brings."""
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = {**pyproject["dependency-groups"], **pyproject["project"]["optional-dependencies"]}
    included = [entry["include-group"] for entry in groups[group] if isinstance(entry, dict)]
    names = [re.split(r"[<>=[]", entry)[0] for entry in groups[group] if isinstance(entry, str)]
    modules = {MODULE_OF.get(name, name) for name in names}
    modules = modules.union(*(COMES_WITH.get(name, set()) for name in names))
    return modules.union(*map(declared, included))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    inner = [f"{other}/*.py" for other in MAY_IMPORT if other.startswith(f"{package}/")]
    modules = set(files(f"{package}/*.py")) - set(files(*inner) if inner else [])
    assert modules
    for path in modules:
        ours = {name.partition(".")[0] for name in imported_modules(path)} & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], path.relative_to(REPOSITORY)


def test_training_takes_of_export_what_reads_a_checkpoint() -> None:
    for path in files("training/*.py"):
        for name in imported_modules(path):
            if name.partition(".")[0] == "export":
                assert name.startswith(MAY_TRAIN_WITH), path.name


def test_training_takes_of_the_server_what_answers_in_one_place() -> None:
    for path in files("training/*.py"):
        allowed = MAY_SERVE_WITH.get(str(path.relative_to(REPOSITORY)), ())
        for name in imported_modules(path):
            if name.partition(".")[0] == "server":
                assert allowed, path.name
                assert name.startswith(allowed), path.name


def test_inference_knows_nothing_of_http() -> None:
    for path in files("server/inference/*.py"):
        for name in imported_modules(path):
            assert name.partition(".")[0] not in {"fastapi", "starlette", "uvicorn", "pydantic"}
            if name.startswith("server"):
                assert name.startswith(INFERENCE_MAY_IMPORT), f"{path.name} imports {name}"


def test_api_knows_nothing_of_sessions() -> None:
    for path in files("server/http/*.py"):
        tops = {name.partition(".")[0] for name in imported_modules(path)}
        assert not tops & {"onnxruntime", "tokenizers"}, path.name


def test_server_imports_only_what_the_serving_install_declares() -> None:
    traces = REPOSITORY / "server" / "process" / "otel.py"
    usual = third_party_of(set(files("server/*.py", "models/*.py")) - {traces})
    assert usual <= declared("serve")
    assert third_party_of([traces]) <= {"opentelemetry"} <= declared("tracing")
    assert declared("serve-cuda") == declared("serve")


def test_export_imports_only_what_its_install_declares() -> None:
    imported = third_party("export") | third_party("models")
    assert imported <= declared("export") | declared("pickle")


def test_training_imports_only_what_its_install_declares() -> None:
    assert third_party_of(loaded_with("training")) <= declared("training")


def test_benchmarks_run_in_the_serving_install() -> None:
    elsewhere = {
        "plots.py": declared("plots"),
        "peers/programs/*.py": None,  # each in its peer's own environment
    }
    apart: set[Path] = set()
    for pattern, allowed in elsewhere.items():
        paths = files(f"benchmarks/{pattern}")
        assert paths, pattern
        assert allowed is None or third_party_of(paths) <= allowed, pattern
        apart.update(paths)
    assert third_party_of(set(files("benchmarks/*.py")) - apart) <= declared("serve")


@pytest.mark.parametrize(
    "lock",
    [
        "serve",
        "serve-cuda",
        "serve-otel",
        "export",
        "audit",
        "docs",
        "clients",
        "training",
        "test",
        "torch",
    ],
)
def test_every_locked_package_has_a_hash_and_no_address(lock: str) -> None:
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text()
    pins = re.findall(r"^[a-z][^#\n]*==.*\n(.*)", text, flags=re.MULTILINE)
    assert pins
    assert all(line.strip().startswith("--hash=sha256:") for line in pins)
    assert "://" not in text


def pins(lock: str) -> dict[str, str]:
    """Return the packages of a lock file with their versions."""
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text()
    return dict(re.findall(r"^([a-z][a-z0-9-]*)==(\S+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize(("lock", "runtime"), SERVING.items())
def test_serving_lock_has_no_training_framework_and_no_hub_client(lock: str, runtime: str) -> None:
    locked = set(pins(lock))
    assert {runtime, "tokenizers", "uvicorn"} <= locked
    assert not {"torch", "transformers", "huggingface-hub", "onnx", "requests"} & locked
    # Both runtimes are one module: installed side by side, either may be the one that loads.
    assert len(locked & set(SERVING.values())) == 1


def test_training_lock_has_what_a_model_is_served_with_in_the_same_versions() -> None:
    assert pins("serve").items() <= pins("training").items()


def test_gpu_lock_is_the_serving_lock_with_another_runtime_and_cuda() -> None:
    serve, cuda = pins("serve"), pins("serve-cuda")
    assert serve.keys() - cuda.keys() == {"onnxruntime"}
    assert {name: cuda[name] for name in serve.keys() & cuda.keys()} == {
        name: version for name, version in serve.items() if name != "onnxruntime"
    }
    added = cuda.keys() - serve.keys()
    assert "onnxruntime-gpu" in added
    assert {"nvidia-cublas", "nvidia-cuda-runtime", "nvidia-curand", "nvidia-cudnn-cu13"} <= added
    assert all(name.startswith("nvidia-") for name in added - {"onnxruntime-gpu"})


def test_no_file_names_the_machine_it_was_written_on() -> None:
    places = {str(REPOSITORY), str(Path.home()), str(Path(sys.prefix))}
    # A folder at the top, such as /tmp, is every machine's.
    if len(REPOSITORY.parent.parts) > 2:
        places.add(str(REPOSITORY.parent))
    pattern = re.compile(rf"(?<![\w}}])({'|'.join(map(re.escape, places))})(?![\w.-])")
    named = [path for path in files() if pattern.search(text_of(path))]
    assert not named


def text_of(path: Path) -> str:
    """Return a file's text, or nothing for one that is not text."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_every_module_opens_with_what_it_does() -> None:
    for path in files("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        assert docstring, f"{path.relative_to(REPOSITORY)} has no docstring"


def test_changelog_has_a_place_for_the_next_change() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert "\n## Unreleased\n" in text
