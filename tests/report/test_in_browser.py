"""Reports as a browser shows them: charts, controls, tables, phones, the dark, paper, the keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couloir.report.index import write_index
from couloir.report.run import write_report
from recorded_runs import EVIL, write_exhibits, write_run
from report.conftest import Diagnosis


@pytest.fixture(scope="module", autouse=True)
def undiagnosed() -> Iterator[None]:
    """The runs of the pages below are healthy, whatever their curves say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("couloir.diagnosis.diagnose", lambda _run: Diagnosis())
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one run with everything in it."""
    folder = tmp_path_factory.mktemp("one")
    folder = write_run(folder / "one", ("model=lenet5", "optimizer.lr=0.1"), classes=("cat", "dog", EVIL))
    write_exhibits(folder, label=EVIL)
    return write_report([folder], folder / "report.html")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three runs."""
    folder = tmp_path_factory.mktemp("three")
    runs = [write_run(folder / f"run{lr}", (f"optimizer.lr={lr}",), lr=lr) for lr in (0.5, 0.01, 0.1)]
    return write_report(runs, folder / "three.html")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index of fourteen runs, of which one has failed."""
    outputs = tmp_path_factory.mktemp("index") / "outputs"
    for place in range(13):
        write_run(outputs / "train" / f"r{place:02d}", (f"seed={place}",), lr=place + 1, epochs=9 + place)
    write_run(outputs / "train" / "bad", ("seed=99",), status="failed", error=f"No room {EVIL}", epochs=0)
    return write_index(outputs, outputs / "index.html")


def test_every_chart_of_a_run_is_drawn_and_smoothing_and_boxes_change_it(run: Path, show: Any) -> None:
    shown = show(run)
    shown.draw_all()
    marks = ".lines path, .points path, .hm image"
    drawn = [chart.locator(marks).count() for chart in shown.page.locator(".chart").all()]
    assert len(drawn) == 9, "loss, accuracy, rate, gradients, waiting, the matrix, three of signals"
    assert all(drawn)
    before = {trace["name"]: trace for trace in shown.traces(0)}
    assert set(before) == {"training", "validation", "best epoch (8)"}
    shown.page.locator("input[data-smooth]").fill("0.9")
    after = shown.traces(0)
    assert len(after) == 5, "each curve as it was, faint, and smoothed"
    assert [trace["opacity"] for trace in after[:2]] == [0.25, None]
    smooth = after[1]["y"]
    assert smooth[0] == pytest.approx(2), "without a pull towards zero"
    assert smooth[1] == pytest.approx((0.9 * 0.1 * 2 + 0.1 * 1) / 0.19)
    shown.page.locator("input[data-smooth]").fill("0")
    shown.page.get_by_label("training", exact=True).uncheck()
    assert [trace["visible"] for trace in shown.traces(0)] == ["legendonly", True, True]
    shown.page.locator(".chart .legendtoggle").first.click()
    shown.page.wait_for_function("document.querySelector('input[data-key=train]').checked")
    assert shown.traces(1)[0]["visible"] is True, "a click in one chart's legend counts for all"
    frame = shown.page.locator(".chart .nsewdrag").first.bounding_box()
    x, y = frame["x"] + frame["width"] / 4, frame["y"] + frame["height"] / 2
    shown.page.mouse.move(x, y)
    shown.page.mouse.down()
    shown.page.mouse.move(x + frame["width"] / 4, y, steps=4)
    shown.page.mouse.up()
    seen = "document.querySelector('.chart')._fullLayout.xaxis.range"
    shown.page.wait_for_function(f"{seen}[0] > 2 && {seen}[1] < 9")
    shown.page.get_by_label("logarithmic loss").check()
    assert shown.page.evaluate(f"{seen}[0] > 2"), "what was zoomed into stays"
    assert shown.page.evaluate("document.querySelector('.chart').layout.yaxis.type") == "log"
    matrix = "document.querySelector('.chart[data-group=confusion]').data[0].text[0]"
    assert shown.page.evaluate(matrix)[0] == "20"
    shown.page.get_by_label("shares of each true class").check()
    assert shown.page.evaluate(matrix)[0].endswith("%")


def test_tables_of_a_run_sort_and_its_pictures_are_seen(run: Path, show: Any) -> None:
    shown = show(run)
    classes = "#classes"
    f1 = [float(cell) for cell in shown.column(classes, 4)]
    assert f1 == sorted(f1)
    shown.page.locator(f"{classes} th button", has_text="class").click()
    assert shown.column(classes, 1)[:2] == [EVIL, "cat"], "a class's name is text"
    assert shown.page.evaluate("document.querySelectorAll('script').length") == 2 + 9
    keys = shown.column("#configuration", 1)
    assert keys == ["model", "optimizer.lr"], "at first only what was typed"
    shown.page.get_by_label("only what was typed").uncheck()
    assert len(shown.column("#configuration", 1)) > 10
    tile = shown.page.locator(".tile.mistake").nth(11)
    box = tile.bounding_box()
    assert box["width"] == box["height"] == 84
    style = shown.page.evaluate("(it) => (({backgroundPosition, backgroundSize, imageRendering}) => "
                                "[backgroundPosition, backgroundSize, imageRendering])(getComputedStyle(it))",
                                tile.element_handle())  # fmt: skip
    assert style == ["11.1111% 33.3333%", "1000% 400%", "pixelated"], "the second of the second row, of four"
    assert shown.page.locator(".tile.filter").count() == 6
    assert "90.0% sure" in shown.page.locator("#most-wrong li").nth(10).inner_text()


def test_several_runs_are_told_apart_and_their_differences_stand_out(three: Path, show: Any) -> None:
    shown = show(three)
    shown.draw_all()
    shown.page.locator("#results th button", has_text="test/accuracy").click()
    assert shown.column("#results", 1) == ["optimizer.lr=0.01", "optimizer.lr=0.1", "optimizer.lr=0.5"]
    assert shown.column("#configuration", 1) == ["optimizer.lr"]
    colours = shown.page.evaluate("[...document.querySelectorAll('#configuration tbody tr')].map((row) => "
                                  "getComputedStyle(row.cells[1]).backgroundColor)")  # fmt: skip
    assert len(set(colours)) == 2, "cells that differ have a colour of their own"
    shown.page.get_by_label("optimizer.lr=0.01", exact=True).uncheck()
    for chart in (0, 1, 2):
        hidden = {trace["name"] for trace in shown.traces(chart) if trace["visible"] == "legendonly"}
        assert hidden >= {"optimizer.lr=0.01"}
        assert not hidden & {"optimizer.lr=0.5", "optimizer.lr=0.1"}


def test_the_index_finds_sorts_and_draws_what_is_ticked(index: Path, show: Any) -> None:
    shown = show(index)
    shown.draw_all()
    assert len(shown.traces(0)) == 10, "the best ten at first"
    assert len({trace["colour"] for trace in shown.traces(0)}) == 10
    shown.page.get_by_role("button", name="none").click()
    assert shown.traces(0) == []
    shown.page.get_by_label("curves of r03").check()
    assert [trace["name"] for trace in shown.traces(0)] == ["r03"]
    assert len(shown.traces(0)[0]["y"]) == 12
    shown.page.locator("input[type=search]").fill("FAILED seed")
    assert shown.column("#runs", 2) == ["bad"]
    assert shown.page.locator("#runs output").inner_text() == "1 of 14"
    shown.page.locator("input[type=search]").fill("")
    shown.page.locator("#runs th button", has_text="epochs").click()
    shown.page.locator("#runs th button", has_text="epochs").click()
    assert shown.column("#runs", 2)[:2] == ["r12", "r11"]
    assert f"No room {EVIL}" in shown.page.locator("#errors").inner_text()


SLOW = pytest.mark.slow
"""What the report's own style sheet decides for all pages alike is looked at in one of them, or by `make faults`."""


@pytest.mark.parametrize("page", ["run", *(pytest.param(name, marks=SLOW) for name in ("three", "index"))])
def test_on_a_phone_nothing_is_wider_than_the_page(page: str, show: Any, request: pytest.FixtureRequest) -> None:
    shown = show(request.getfixturevalue(page), viewport={"width": 400, "height": 800}, has_touch=True)
    shown.draw_all()
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 400


@SLOW
def test_in_the_dark_the_page_and_its_charts_are_dark_and_follow_a_change(run: Path, show: Any) -> None:
    shown = show(run, color_scheme="dark")
    shown.draw_all()
    seen = "[getComputedStyle(document.body).backgroundColor, document.querySelector('.chart').layout.font.color]"
    dark = shown.page.evaluate(seen)
    assert dark == ["rgb(16, 20, 27)", "#e6eaf1"]
    shown.page.emulate_media(color_scheme="light")
    shown.page.wait_for_function("document.querySelector('.chart').layout.font.color === '#1c2330'")
    assert shown.page.evaluate(seen)[0] == "rgb(246, 247, 249)"


@SLOW
def test_everything_can_be_reached_by_the_keyboard_and_is_marked_there(run: Path, show: Any) -> None:
    shown = show(run)
    shown.draw_all()
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.textContent") == "to the content"
    assert shown.page.locator(".skip").bounding_box()["x"] >= 0, "it is seen once it is reached"
    asked = "a[href], button, input, summary, .scroll"
    wanted = shown.page.evaluate(
        f"[...document.querySelectorAll('{asked}')].filter((it) => it.checkVisibility()).length"
    )
    reached = 1
    for _ in range(2 * wanted):
        shown.page.keyboard.press("Tab")
        if shown.page.evaluate("document.activeElement === document.body"):
            break
        reached += shown.page.evaluate(f"document.activeElement.matches('{asked}')")
        if reached == 4:
            assert shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == wanted
    box = shown.page.get_by_label("training", exact=True)
    box.focus()
    shown.page.keyboard.press("Space")
    assert shown.traces(0)[0]["visible"] == "legendonly"
    shown.page.locator("#classes th button").nth(4).focus()
    shown.page.keyboard.press("Enter")
    assert shown.page.locator("#classes th").nth(4).get_attribute("aria-sort") == "ascending"


@SLOW
def test_on_paper_there_are_no_controls_and_all_charts_and_rows(run: Path, show: Any) -> None:
    shown = show(run, viewport={"width": 700, "height": 900})
    shown.page.emulate_media(media="print")
    shown.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.page.locator(".chart").count() == shown.page.locator(".chart:has(.main-svg)").count()
    fits = "[...document.querySelectorAll('.chart')].every((it) => it._fullLayout.width <= it.clientWidth + 1)"
    shown.page.wait_for_function(fits)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 700
    assert not shown.page.locator("button.copy").first.is_visible()
    assert not shown.page.locator("#curves input").first.is_visible()
    assert shown.page.locator("#classes th button").first.is_visible()
    heights = "[...document.querySelectorAll('.scroll')].every((it) => it.scrollHeight <= it.clientHeight + 1)"
    assert shown.page.evaluate(heights), "no row is hidden below a table's edge"
    assert len(shown.page.pdf()) > 20_000
