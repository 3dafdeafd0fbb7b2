"""The page at /: every file that it names is there, none from elsewhere, and nothing is inline."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import pytest
from starlette.testclient import TestClient

from tests.conftest import Serve
from tests.running_server import REPOSITORY, RunningServer
from tests.server.http.conftest import Build

FOLDER = REPOSITORY / "server" / "web" / "page"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".js", ".css", ".svg"})
VENDORED = "preact.js"
OWN = [name for name in FILES if name != VENDORED]
NAMED = re.compile(r'(?:src|href)="([^"]*)"')
IMPORTED = re.compile(r'\bfrom "([^"]*)"')


def test_the_page_names_only_files_of_this_server(server: RunningServer) -> None:
    page = server.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    files = [name for name in NAMED.findall(page.text) if not name.startswith("#")]
    assert len(files) == 3
    for file in files:
        assert server.get(urljoin("/", file)).status_code == 200


def test_every_module_is_reached_and_every_import_is_there(server: RunningServer) -> None:
    reached, waiting = set[str](), {"main.js"}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        text = server.get(f"/page/{name}").text
        waiting |= {found.removeprefix("./") for found in IMPORTED.findall(text)} - reached
    assert reached == {name for name in FILES if name.endswith(".js")}


@pytest.mark.parametrize("name", FILES)
def test_files_are_served_as_what_they_are(server: RunningServer, name: str) -> None:
    answer = server.get(f"/page/{name}")
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/style.css"])
def test_the_policy_allows_this_server_alone_and_nothing_inline(
    server: RunningServer, path: str
) -> None:
    policy = server.get(path).headers["content-security-policy"]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed.pop("default-src") == "'none'"
    for name in ("script-src", "style-src", "img-src", "connect-src"):
        assert allowed.pop(name) == "'self'"
    assert set(allowed.values()) == {"'none'"}


def test_nothing_is_inline_and_no_other_host_is_named() -> None:
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\bstyle=|\bon\w+=|<script(?![^>]*\bsrc=)", page)
    for name in ("index.html", *OWN):
        addresses = re.findall(r"https?://[^\"'\s)]+", (FOLDER / name).read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, name


def test_a_copy_that_is_still_right_is_not_sent_again(server: RunningServer) -> None:
    first = server.get("/page/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = server.client.get(
        f"{server.url}/page/main.js", headers={"if-none-match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["NOTICE", "index.htm", "x.js", "..%2fdocs%2fstart.js"])
def test_no_other_file_is_served(server: RunningServer, name: str) -> None:
    assert server.get(f"/page/{name}").status_code == 404


@pytest.mark.parametrize(
    ("root_path", "expected"), [("", "page/main.js"), ("/a/b", "/a/b/page/main.js")]
)
def test_files_are_found_behind_a_proxy(build: Build, root_path: str, expected: str) -> None:
    page = TestClient(build(), root_path=root_path).get("/").text
    assert f'src="{expected}"' in page
    assert len(NAMED.findall(page)) == 4


def test_the_page_can_be_switched_off(serve: Serve, default_model: Path) -> None:
    server = serve(default_model, page="false")
    assert server.client.get(server.url, follow_redirects=True).url.path == "/docs"
    assert server.get("/page/main.js").json()["code"] == "route_not_found"


def test_the_vendored_library_is_what_its_notice_says() -> None:
    digest = sha256((FOLDER / VENDORED).read_bytes()).hexdigest()
    assert digest in (FOLDER / "NOTICE").read_text()
