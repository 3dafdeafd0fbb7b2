"""docs/ -> the site that `make site` builds: what ends the build, what the site asks of whom."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from scripts.navigation import parts
from tests.running_server import REPOSITORY

# What a browser loads without being asked: element -> the attribute that says from where.
LOADED = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "srcset",
    "track": "src",
    "video": "src",
}
ANOTHER_HOST = re.compile(r"^\s*([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:[a-z]+:)?//[^\"')\s]+)", re.IGNORECASE)
IN_SCRIPTS = re.compile(r"[\"'`]((?:https?:|wss?:)?//[\w.-]+\.[^\"'`\s]*)", re.IGNORECASE)
NAMESPACE = "http://www.w3.org/"  # of SVG and the like: a name, at which nobody asks

# What a build says of a fault, by the page in which it is.
SOUND = {
    "index": "# Site\n\n## Part\n\n- [One](one.md)\n",
    "one": "# One\n\n[index](index.md#part)\n",
}
FAULTS = {
    "dead link": ({"one": "# One\n\n[x](nowhere.md)\n"}, "nowhere.md"),
    "dead anchor": ({"one": "# One\n\n[x](index.md#nowhere)\n"}, "nowhere"),
    "dead anchor within a page": ({"one": "# One\n\n[x](#nowhere)\n"}, "nowhere"),
    "page that is not in the navigation": ({"two": "# Two\n"}, "two.md: WARNING: document isn't"),
    "page in the navigation that is not there": (
        {"index": "# Site\n\n## Part\n\n- [One](one.md)\n- [Two](two.md)\n"},
        "nonexisting document 'docs/two'",
    ),
}


class Page(HTMLParser):
    """What a built page loads, where its links lead, and which places it has."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places.update(given[name] for name in ("id", "name") if name in given)
        if LOADED.get(tag) in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build as `make site` does."""
    made = ["make", ".venv-docs/.installed"]
    subprocess.run(made, cwd=REPOSITORY, check=True, capture_output=True)
    python = REPOSITORY / ".venv-docs" / "bin" / "python"
    strictly = ["--fail-on-warning", "--keep-going", "--quiet"]
    return subprocess.run(
        [python, "-m", "sphinx", "--conf-dir", "docs", *strictly, ".", out],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this checkout."""
    out = tmp_path_factory.mktemp("site")
    done = build(REPOSITORY, out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page that was built."""
    found = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(found) > 40
    return found


def files_of(site: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a kind with their text."""
    found = list(site.rglob(pattern))
    assert found
    yield from ((path, path.read_text(encoding="utf-8")) for path in found)


def test_no_page_loads_anything_from_another_host(pages: dict[Path, Page]) -> None:
    loaded = [place for page in pages.values() for place in page.loaded]
    assert len(loaded) > len(pages)
    assert [place for place in loaded if ANOTHER_HOST.match(place)] == []


def test_no_style_loads_anything_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    texts = [*files_of(site, "*.css"), *files_of(site, "*.html"), *files_of(site, "*.svg")]
    assert [
        (path.name, IN_STYLES.findall(text)) for path, text in texts if IN_STYLES.search(text)
    ] == []


def test_no_script_names_another_host(site: Path) -> None:
    named = [name for _, text in files_of(site, "*.js") for name in IN_SCRIPTS.findall(text)]
    assert [name for name in named if not name.startswith(NAMESPACE)] == []


def test_a_request_to_another_host_would_be_found() -> None:
    page = Page('<link href="https://fonts.example/a.css"><script src="//cdn.example/a.js">')
    assert all(map(ANOTHER_HOST.match, page.loaded))
    assert IN_STYLES.findall("a{background:url( 'https://a.example/b.png')}@import \"//b.example\"")
    assert IN_SCRIPTS.findall('fetch("https://a.example/count")')


def test_every_link_of_the_site_leads_somewhere(pages: dict[Path, Page], site: Path) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            name, place = urldefrag(link)
            target = (path.parent / unquote(name)).resolve() if name else path
            if ":" in name:
                continue
            if not target.is_file() or (place and place not in pages[target].places):
                dead.append((path.relative_to(site), link))
    assert dead == []


def test_every_page_is_found_by_the_search(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    text = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {(Path("docs") / page).as_posix() for part in parts(text) for _, page in part.pages}
    listed = {re.sub(r"^docs/\.\./", "", page) for page in listed}
    assert {*listed, "docs/index"} == set(found["docnames"])
    assert "xylophonist" in found["terms"]  # of docs/score.md


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of no more than what makes the site."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(REPOSITORY / "docs" / "templates", folder / "docs" / "templates")
    shutil.copy(REPOSITORY / "docs" / "conf.py", folder / "docs")
    (folder / "scripts").mkdir()
    shutil.copy(REPOSITORY / "scripts" / "navigation.py", folder / "scripts")
    return folder


@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_a_fault_ends_the_build(small: Path, tmp_path: Path, fault: str) -> None:
    changed, said = FAULTS.get(fault, ({}, ""))
    for path in (small / "docs").glob("*.md"):
        path.unlink()
    for name, text in {**SOUND, **changed}.items():
        (small / "docs" / f"{name}.md").write_text(text)
    done = build(small, tmp_path / "site")
    assert (done.returncode == 0) == (fault == "none"), done.stderr
    assert said in done.stderr
