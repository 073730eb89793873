"""A browser for all tests of pages: one for the whole session, which is why the conftest of all tests has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SLOW = 90_000
"""Milliseconds that a step in a page may take on a slow machine."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; the tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


class Opened:
    """A page, and what it complained about.

    Args:
        browser: that shows it.
        file: the page's.
        options: of the browser's context: `viewport`, `color_scheme`, ...
    """

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW)
        self.complaints: list[str] = []
        self.asked_for: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: self.asked_for.append(asked.url))
        self.page.goto(file.resolve().as_uri())

    def draw_all(self) -> None:
        """Scroll through the page, so that every chart is drawn, and wait for that."""
        for chart in self.page.locator(".chart").all():
            chart.scroll_into_view_if_needed()
            chart.locator(".main-svg").first.wait_for()
        self.page.evaluate("scrollTo(0, 0)")

    def traces(self, place: int) -> list[dict[str, Any]]:
        """What a chart draws."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "(place) => document.querySelectorAll('.chart')[place].data.map("
            "({name, visible, y, opacity, line}) => ({name, visible, y: [...y], opacity, colour: line && line.color}))",
            place,
        )
        return found

    def column(self, table: str, place: int) -> list[str]:
        """The words of a table's column that can be seen, from above."""
        rows = self.page.locator(f"{table} tbody tr:visible td:nth-child({place})")
        return [str(words) for words in rows.all_inner_texts()]


@pytest.fixture
def show(browser: Any) -> Iterator[Any]:
    """Opens a file; whatever a page complains about fails the test, and so does what it asks the network for."""
    opened: list[Opened] = []

    def show(file: Path, **options: Any) -> Opened:
        opened.append(Opened(browser, file, **options))
        return opened[-1]

    yield show
    for page in opened:
        page.context.close()
        assert page.complaints == []
        assert [url for url in page.asked_for if not url.startswith(("file:", "data:", "blob:"))] == []
