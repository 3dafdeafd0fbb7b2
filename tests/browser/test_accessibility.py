"""Every panel: axe-core finds no serious fault in it, and it fits a phone, light and dark."""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path

import pytest

from tests.browser.conftest import PANELS, Visitor

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).parent
AXE = gzip.decompress((FOLDER / "axe.min.js.gz").read_bytes()).decode()
SERIOUS = {"serious", "critical"}


# `make test` sees each width and each scheme once.
LOOKS = [
    (1280, "light"),
    (390, "dark"),
    pytest.param(1280, "dark", marks=pytest.mark.slow),
    pytest.param(390, "light", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
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


# What can be used, in the order in which it stands.
USABLE = """[...document.querySelectorAll(
    'a[href], button, input, select, textarea, summary, [tabindex="0"]')]
    .filter((element) => element.checkVisibility() && !element.matches('.skip'))"""
MARK = f"({USABLE}).map((element, i) => (element.dataset.nth = i))"


@pytest.mark.parametrize("panel", PANELS)
def test_all_that_can_be_used_is_reached_by_keyboard_in_its_order(
    visitor: Visitor, panel: str
) -> None:
    page = visitor.open(f"#{panel}", width=390)
    page.locator(PANELS[panel]).first.wait_for(state="attached")
    page.wait_for_load_state("networkidle")
    usable = page.evaluate(MARK)
    assert len(usable) > len(PANELS)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in usable:
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "({nth: Number(document.activeElement.dataset.nth),"
            " outline: getComputedStyle(document.activeElement).outlineStyle,"
            " visible: document.activeElement.checkVisibility()})"
        )
        assert focused["visible"]
        assert focused["outline"] != "none"
        reached.append(focused["nth"])
    assert reached == usable


def test_a_fault_would_be_found(visitor: Visitor) -> None:
    page = visitor.open()
    page.locator(PANELS["fill"]).first.wait_for()
    page.evaluate("document.querySelector('textarea').labels[0].remove()")
    page.evaluate(AXE)
    faults = page.evaluate("axe.run()")["violations"]
    assert "label" in {fault["id"] for fault in faults if fault["impact"] in SERIOUS}


def test_axe_is_what_its_notice_says() -> None:
    assert sha256(AXE.encode()).hexdigest() in (FOLDER / "NOTICE").read_text()
