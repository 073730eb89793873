"""The frame of a report: one file that needs no network, and in which no text of a user's is anything but text."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from couloir.artifacts import page as pages
from couloir.artifacts.page import Cell, Chart, Page, charts, copyable, facts, label, table


def test_a_report_loads_nothing_from_anywhere() -> None:
    page = Page("a")
    page.section("one", charts([Chart([{"type": "bar", "y": [1]}], {}, "a bar")]))
    text = page.as_html()
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", text)
    assert "default-src 'none'" in text
    assert "plotly.js v" in text


def test_a_report_without_a_chart_is_small() -> None:
    page = Page("a")
    page.section("one", note="nothing here")
    assert len(page.as_html()) < 30_000


def test_marks_in_a_users_text_are_text() -> None:
    evil = "</script><script>alert('1')</script>\"onclick=\"x"
    page = Page(evil)
    page.section(evil, copyable(evil), facts([(evil, evil)]), table([evil], [[Cell(evil)]], evil), note=evil)
    page.parts.append(charts([Chart([{"name": evil}], {"title": {"text": evil}}, evil)]))
    text = page.as_html()
    assert "<script>alert" not in text
    assert '"onclick="x' not in text
    assert text.count("<script") == text.count("</script>") == 3, "plotly, the page's own, and the chart's numbers"
    data = re.search(r'<script type="application/json">(.*?)</script>', text)
    assert data is not None
    assert json.loads(data[1])["data"][0]["name"] == evil


def test_a_charts_text_shows_marks_as_typed_and_leaves_out_a_long_middle() -> None:
    assert label("<b>x</b> & y") == "&lt;b&gt;x&lt;/b&gt; &amp; y"
    assert len(label("x" * 500)) <= 61


def test_what_json_has_no_word_for_is_a_gap_and_numbers_are_as_long_as_can_be_seen() -> None:
    html = charts([Chart([{"y": [math.nan, math.inf, 1 / 3, 5]}], {}, "numbers")])
    assert '"y":[null,null,0.333333,5]' in html


def test_a_tables_headings_are_buttons_and_its_numbers_are_sorted_as_numbers() -> None:
    html = table(["name", "size"], [[Cell("a"), Cell("1,000", 1000.0, "number")]], "sizes")
    assert html.count('<th scope="col" aria-sort="none"><button type="button">') == 2
    assert '<td class="number" data-value="1000">1,000</td>' in html


def test_every_colour_that_is_named_is_one_of_the_style_sheet_light_and_dark() -> None:
    package = Path(pages.__file__).parents[1]
    css = Path(pages.__file__).with_name("page.css").read_text(encoding="utf-8")
    light, dark = (set(re.findall(r"(--[\w-]+):", part)) for part in css.split("@media (prefers-color-scheme", 1))
    assert light == dark
    here = Path(pages.__file__).parent
    sources = [here / "page.js", package / "sweep/charts.py", *here.glob("*.py")]
    named = {name for file in sources for name in re.findall(r'"(--[a-z][\w-]*)"', file.read_text(encoding="utf-8"))}
    assert "--accent" in named
    assert named <= light
    assert {f"--c{place}" for place in range(10)} <= light
