"""A running server's address in, pictures of its page in docs/page out, in both widths and schemes.

Needs Chromium and the environment of `make test`. The server should have a model for each panel;
`python -m tests.fine_tuned CHECKPOINTS MODELS` makes small ones.
"""

import json
import random
import shutil
import sys
import time
from io import BytesIO
from pathlib import Path
from urllib.request import Request, urlopen

from PIL import Image
from playwright.sync_api import FloatRect, Page, expect, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "page"
PANELS = ("fill", "following", "sentences", "labels", "adds", "live")
SIZES = {1280: 800, 390: 844}  # width -> least height, in pixels
START: FloatRect = {"x": 0, "y": 0, "width": 1280, "height": 870}  # of what README.md shows
COLOURS = 96  # of a picture: it shows text and flat shapes, and becomes a quarter as large
DRAWN_MS = 2500  # until the answers are there and the bars have grown
PATIENCE_MS = 120_000
WATCHED_S = 30  # until the charts show something


def main(address: str, *panels: str) -> None:
    """Take a picture of each panel, or of those named, in each width, light and dark."""
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                context.set_default_timeout(PATIENCE_MS)
                for panel in panels or PANELS:
                    page = context.new_page()
                    page.goto(f"{address}/#{panel}")
                    show(page, address, panel)
                    save(page.screenshot(full_page=True), f"{panel}-{width}-{scheme}")
                    if (panel, width, scheme) == ("fill", 1280, "light"):
                        save(page.screenshot(clip=START), "start")
                    page.close()
                context.close()
        browser.close()


def show(page: Page, address: str, panel: str) -> None:
    """Return when the panel has something to show."""
    page.locator("h1").wait_for()
    if panel == "live":
        load(address, WATCHED_S)
    else:
        page.wait_for_load_state("networkidle")
        expect(page.locator(".under-way")).to_have_count(0, timeout=PATIENCE_MS)
    page.wait_for_timeout(DRAWN_MS)


def load(address: str, seconds: float) -> None:
    """Ask the server for words, now few texts, now many, short ones and long ones."""
    draw = random.Random(1)  # noqa: S311 (nothing secret)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        count = draw.randint(1, 12)
        texts = ["It is [MASK]." + " A river runs through it." * draw.randint(0, 5)] * count
        texts += ["A [MASK]."] * count
        body = json.dumps({"inputs": texts, "parameters": {"top_k": 1}}).encode()
        asked = Request(f"{address}/fill-mask", body, {"content-type": "application/json"})  # noqa: S310
        with urlopen(asked) as answer:  # noqa: S310 (the address is the caller's own)
            answer.read()
        time.sleep(draw.random() / 4)


def save(png: bytes, name: str) -> None:
    """Write a picture with few colours."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
