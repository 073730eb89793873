"""Take the pictures of a page for the documentation, `docs/images/report_*.png`, from a run's folder.

    couloir report RUN && python docs/screenshots.py RUN
    couloir data augmentation=affine && python docs/screenshots.py outputs/data/FOLDER/data.html --name data --width 800

Three widths, the narrowest in dark, cut to the first screens, as Chromium shows them.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).parent / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SHOTS = {1280: ("light", 1900), 800: ("light", 1700), 400: ("dark", 1500)}
"""Width in pixels -> colour scheme, and the height of the picture."""
COLOURS = 160


def shoot(page: Page, report: Path, width: int, height: int, file: Path) -> None:
    """One picture: the page is scrolled through, so that every chart is drawn."""
    page.set_viewport_size({"width": width, "height": height})
    page.goto(report.resolve().as_uri())
    for chart in page.locator(".chart").all():
        chart.scroll_into_view_if_needed()
        chart.locator(".main-svg").first.wait_for()
    page.evaluate("scrollTo(0, 0)")
    picture = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": height})
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(file, optimize=True)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run folder with a report.html, or the file itself")
    parser.add_argument("--into", type=Path, default=IMAGES)
    parser.add_argument("--whole", action="store_true", help="the whole page, not only its first screens")
    parser.add_argument("--name", default="report", help="how the pictures' names begin")
    parser.add_argument("--width", type=int, choices=SHOTS, help="this one alone")
    asked = parser.parse_args()
    report = asked.run if asked.run.is_file() else asked.run / "report.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for width, (scheme, height) in SHOTS.items():
            if asked.width not in (None, width):
                continue
            page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
            if asked.whole:
                page.set_viewport_size({"width": width, "height": 1000})
                page.goto(report.resolve().as_uri())
                height = int(page.evaluate("document.documentElement.scrollHeight"))
            shoot(page, report, width, height, asked.into / f"{asked.name}_{width}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
