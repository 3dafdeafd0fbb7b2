"""A real Chromium, and visits to a server's page in which nothing may go wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.running_server import RunningServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
WANTING = "Playwright's Python client is not installed"
PATIENCE_MS = 60_000  # the machine may be busy
# Each panel, with what it shows when it is done, and its name for people.
PANELS = {
    "fill": '[aria-label="Fillings of all blanks"] li',
    "following": ".order li",
    "sentences": '[aria-label^="Read beside"] li',
    "labels": '[aria-label="The likeliest answers"] li',
    "adds": '[aria-label="Parameters by part"] li',
    "live": "path.line",
}
TITLES = {
    "fill": "Fill",
    "following": "Next sentence",
    "sentences": "Sentences",
    "labels": "Words and labels",
    "adds": "What BERT adds up",
    "live": "Live",
}


# Of a module: while it is open an event loop runs, in which other tests could not start theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as Debian packages it."""
    api = pytest.importorskip("playwright.sync_api", reason=WANTING)
    chromium = next(filter(None, map(shutil.which, NAMES)), None)
    if chromium is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    api.expect.set_options(timeout=PATIENCE_MS)
    # Its sandbox refuses to be started by root, as which CI runs.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=arguments, timeout=PATIENCE_MS
        )
        yield browser
        browser.close()


class Visitor:
    """Opens pages of one server, and notes what a browser complains of."""

    def __init__(self, browser: Browser, server: RunningServer) -> None:
        self.server = server
        self.complaints: list[str] = []
        self.expected: list[str] = []
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def open(
        self,
        fragment: str = "",
        *,
        path: str = "/",
        width: int = 1280,
        scheme: str = "light",
        url: str | None = None,
    ) -> Page:
        """A page of a browser that was never here before, at one of the server's addresses."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            permissions=["clipboard-read", "clipboard-write"],
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.goto(url or f"{self.server.url}{path}{fragment}")
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(part in text for part in self.expected):
            self.complaints.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith(f"{self.server.url}/"):
            self.complaints.append(f"asked {url}")

    def leave(self) -> None:
        """Close everything; there must have been nothing to complain of."""
        for context in self._contexts:
            context.close()
        assert self.complaints == []


@pytest.fixture
def visitor(browser: Browser, everything: RunningServer) -> Iterator[Visitor]:
    """Visits to a server that has a model for each panel."""
    visitor = Visitor(browser, everything)
    yield visitor
    visitor.leave()
