"""Every panel: axe-core finds no serious fault in it, and it fits a phone, light and dark."""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path

import pytest

from tests.browser.conftest import Visitor

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).parent
AXE = gzip.decompress((FOLDER / "axe.min.js.gz").read_bytes()).decode()
# Each panel, with what it shows when it is done.
PANELS = {
    "fill": '[aria-label="Fillings of all blanks"] li',
    "following": ".order li",
    "sentences": '[aria-label^="Read beside"] li',
    "labels": '[aria-label="The likeliest answers"] li',
    "adds": '[aria-label="Parameters by part"] li',
    "live": "path.line",
}
SERIOUS = {"serious", "critical"}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark"), (390, "light")])
@pytest.mark.parametrize("panel", PANELS)
def test_no_serious_fault_is_found(visitor: Visitor, panel: str, width: int, scheme: str) -> None:
    page = visitor.open(f"#{panel}", width=width, scheme=scheme)
    page.locator(PANELS[panel]).first.wait_for(state="attached")
    page.locator("summary", has_text="The same from a program").click()
    page.wait_for_timeout(400)  # until bars have grown
    # By the debugger, which the page's policy does not bind.
    page.evaluate(AXE)
    found = page.evaluate("axe.run()")
    assert [
        (fault["id"], node["html"], node["failureSummary"])
        for fault in found["violations"]
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ] == []
    assert len(found["passes"]) > 10
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_fault_would_be_found(visitor: Visitor) -> None:
    page = visitor.open()
    page.locator(PANELS["fill"]).first.wait_for()
    page.evaluate("document.querySelector('textarea').labels[0].remove()")
    page.evaluate(AXE)
    faults = page.evaluate("axe.run()")["violations"]
    assert "label" in {fault["id"] for fault in faults if fault["impact"] in SERIOUS}


def test_axe_is_what_its_notice_says() -> None:
    assert sha256(AXE.encode()).hexdigest() in (FOLDER / "NOTICE").read_text()
