"""The documents -> run and compared: commands, their printed answers, the tree, the links."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from export.read.checkpoint import read_checkpoint
from export.write.model_folder import export_model
from scripts.pages import DOCS, PAGES, anchor, descendants
from server.errors import ClozeError
from tests.documents import (
    FENCE,
    SESSIONS,
    Example,
    ask,
    assert_same_but_for_rounding,
    examples,
    run_program,
)
from tests.running_server import REPOSITORY, RunningServer
from tests.test_repository import files
from training.__main__ import main as training

DOCUMENTS = sorted(str(path.relative_to(REPOSITORY)) for path in files("*.md"))

# What tells of commands that are gone.
OF_THE_PAST = ["CHANGELOG.md", *(name for name in DOCUMENTS if name.startswith("docs/notebook/"))]

# Whose answers a document shows, where they are not the default model's.
SERVERS = {
    "docs/classification.md": "classifier_server",
    "docs/entities.md": "classifier_server",
    "docs/moving.md": "everything",
    "docs/question-answering.md": "classifier_server",
    "docs/rerank.md": "classifier_server",
    "docs/zero-shot.md": "classifier_server",
}
# Programs that need what this environment lacks: tests/clients/heavy/test_triton.py runs the first,
# tests/training/evaluate measures as the second does.
NOT_HERE = {"docs/open-inference.md", "docs/training.md"}

# Messages that users see of Cloze, but that Python or its libraries write.
SAID_BY_OTHERS = {"Address already in use", "unrecognized arguments", "should be a valid"}

# A file that a document shows in whole, below its name.
NAMED_FILE = re.compile(r"`(\w+\.csv)`:\n\n```csv\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)
CURL = re.compile(r"(?:^|\$ )curl(?:[^\\\n]|\\\n)*", flags=re.MULTILINE)
# All known to curl 7.81, which is Ubuntu 22.04's.
CURL_OPTIONS = {"-s", "-H", "-d"}


def calls_of(document: str) -> list[Example]:
    """Return the examples that ask a server: calls with curl, and programs."""
    return [
        call
        for call in examples(document)
        if (document not in NOT_HERE if call.program else call.command.startswith("curl "))
    ]


ASKING = [name for name in DOCUMENTS if name not in SESSIONS and calls_of(name)]


@pytest.mark.parametrize("document", ASKING)
def test_documented_calls_print_what_the_document_says(
    document: str, request: pytest.FixtureRequest
) -> None:
    server: RunningServer = request.getfixturevalue(SERVERS.get(document, "server"))
    for call in calls_of(document):
        if call.program:
            run_program(call, server)
        else:
            ask(call, server)


def evaluations_of(document: str) -> list[Example]:
    """Return the examples that measure a model."""
    start = "python -m training evaluate "
    return [example for example in examples(document) if example.command.startswith(start)]


@pytest.fixture(scope="session")
def measurable(classifiers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models of the page about evaluation, one of them also in int8."""
    folder = tmp_path_factory.mktemp("measurable")
    (folder / "checkpoints").symlink_to(classifiers / "checkpoints")
    (folder / "models").mkdir()
    (folder / "models" / "reviews").symlink_to(classifiers / "models" / "reviews")
    export_model(
        read_checkpoint(classifiers / "checkpoints" / "reviews"),
        folder / "models" / "reviews-int8",
        precision="int8",
        progress=lambda _: None,
    )
    return folder


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if evaluations_of(name)])
def test_documented_evaluations_print_what_the_document_says(
    document: str,
    measurable: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(measurable)
    for name, text in NAMED_FILE.findall((REPOSITORY / document).read_text()):
        Path(name).write_text(text)
    for call in evaluations_of(document):
        training(shlex.split(call.command.replace("\\\n", " "))[3:])
        assert_same_but_for_rounding(capsys.readouterr().out, call.printed)


def test_comparison_notices_a_wrong_answer() -> None:
    assert_same_but_for_rounding('[{"score": 0.912}]', '[{"score":0.92}]')
    assert_same_but_for_rounding("[[0.1, 0.2, 0.3]]", "[[0.1, 0.2, …")
    for wrong in ('[{"score":0.95}]', '[{"scores":0.912}]', '[{"score":0.912}', "[…"):
        with pytest.raises(AssertionError):
            assert_same_but_for_rounding('{"score": 0.912}', wrong)


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name not in OF_THE_PAST])
def test_documented_make_targets_exist(document: str) -> None:
    text = (REPOSITORY / document).read_text()
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(?:\$ )?make ([a-z-]+)", text)) <= set(targets)
    assert set(re.findall(r"^\$ make ([a-z-]+)", text, re.MULTILINE)) <= set(targets)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    path = REPOSITORY / document
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" not in link:
            name, _, place = link.partition("#")
            target = path.parent / name if name else path
            assert target.exists(), link
            assert not place or place in anchors(target), link


def anchors(path: Path) -> set[str]:
    """Return the names of a document's headings, as GitHub numbers those that repeat."""
    found: Counter[str] = Counter()
    names = set()
    for heading in HEADING.findall(FENCE.sub("", path.read_text())):
        name = anchor(LINK.sub("", heading).replace("[", ""))
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_calls_work_with_an_old_curl(document: str) -> None:
    for _, _, block in FENCE.findall((REPOSITORY / document).read_text()):
        for command in CURL.findall(re.sub(r"'[^']*'", "''", block)):
            assert set(re.findall(r"(?<=\s)--?[\w-]+", command)) <= CURL_OPTIONS, command


def test_reference_lists_every_header_of_an_answer(server: RunningServer) -> None:
    page = (DOCS / "http.md").read_text()
    long = {"inputs": "word " * 600, "truncate": True}
    usual = {"date", "content-length", "content-type"}
    for answer in (server.post("/embed", long), server.get("/embed"), server.post("/nsp", {})):
        assert [name for name in set(answer.headers) - usual if f"\n| `{name}` |" not in page] == []


def test_troubleshooting_quotes_what_the_programs_say() -> None:
    patterns = ("server/*.py", "export/*.py", "models/*.py", "scripts/install.sh")
    source = "".join(path.read_text() for path in files(*patterns))
    source = re.sub(r"[\"']\s*\n\s*f?[\"']", "", source)  # a sentence on several lines
    codes = {kind.code for kind in descendants(ClozeError)}
    first_cells = re.findall(
        r"^\| (.*?) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE
    )
    for cell in first_cells:
        for quoted in set(re.findall(r"`([^`]+)`", cell)) - SAID_BY_OTHERS:
            if " " in quoted:
                assert quoted in source
            elif cell[:3].isdigit():
                assert quoted in codes


def readme_tree() -> Iterator[tuple[Path, int]]:
    """Yield each path of the annotated tree with its depth."""
    text = (REPOSITORY / "README.md").read_text()
    tree = text.partition("## What is where\n")[2].partition("```text\n")[2].partition("```")[0]
    parents: list[str] = []
    for line in filter(None, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents[depth:] = [name]
        yield Path(*parents), depth


def test_readme_tree_lists_only_what_exists() -> None:
    for path, _ in readme_tree():
        assert (REPOSITORY / path).exists(), path


def test_readme_tree_lists_all_of_every_folder_it_opens() -> None:
    tree = list(readme_tree())
    shown = {path for path, _ in tree}
    opened = {path for (path, depth), (_, next_depth) in pairwise(tree) if next_depth > depth}
    on_disk = {path.relative_to(REPOSITORY) for path in files()}
    assert opened
    for folder in [Path(), *sorted(opened)]:
        inside = {path.relative_to(folder).parts[0] for path in on_disk if within(path, folder)}
        listed = {path.relative_to(folder).parts[0] for path in shown if within(path, folder)}
        assert listed == inside - {"__init__.py"}, folder


def within(path: Path, folder: Path) -> bool:
    """Tell whether a path lies below a folder."""
    return folder in path.parents


def test_readme_counts_the_packages_that_a_server_needs() -> None:
    lock = (REPOSITORY / "requirements" / "serve.txt").read_text()
    count = len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert f"installs {count} packages" in (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_generated_page_is_what_the_source_says(name: str) -> None:
    assert (DOCS / name).read_text().rstrip() == PAGES[name]().rstrip(), "run `make docs`"
