"""`data.html` of each kind of data set, as text and as a browser shows it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from couloir.inspect.dataset.facts import look_at
from couloir.inspect.dataset.page import page_of, write_page
from couloir.inspect.dataset.sentence import sentence_of

EVIL = "<b onclick=alert(1)>&\"'"


def written(file: Path, *words: str) -> Path:
    look = look_at(*sentence_of([*words]))
    write_page(look, file)
    return file


def titles(file: Path) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", file.read_text())


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a table with numbers, a category, a date, gaps, and names that are HTML."""
    folder = tmp_path_factory.mktemp("table")
    generator = np.random.default_rng(0)
    lines = [f'joined,size,"{EVIL.replace(chr(34), chr(34) * 2)}",kind']
    for row in range(60):
        size = "" if row % 9 == 0 else f"{generator.normal():.3f}"
        lines.append(
            f"2020-{1 + row % 12:02}-01,{size},{('Oslo', 'Rome')[row % 2]},{('cat', '<i>dog</i>')[row % 3 == 0]}"
        )
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return written(folder / "table.html", "data=csv", f"data.path={folder / 't.csv'}", "data.target=kind")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of photographs, two of which are the same, with their augmentation."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number in range(16):
        place = folder / "photos" / f"class {EVIL[:9].replace('/', '')} {number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(256, size=(30 + number, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels if number else pixels[:30]).save(place / f"{number}.png")
    (folder / "photos" / place.name / "again.png").write_bytes((place / "15.png").read_bytes())
    words = ["data=image_folder", f"data.root={folder / 'photos'}", "data.image_size=32", "augmentation=flip_crop"]
    return written(folder / "photographs.html", *words)


def test_a_table_has_its_sections_and_its_names_are_text(table: Path) -> None:
    assert titles(table) == [
        "Look at this first", "Classes", "Columns", "Distributions", "Correlations", "Doubles",
    ]  # fmt: skip
    html = table.read_text()
    assert "<b onclick" not in html
    assert "<i>dog" not in html
    assert "&lt;i&gt;dog&lt;/i&gt;" in html


def test_photographs_have_their_sections_and_a_tile_for_each_sample_and_draw(photographs: Path) -> None:
    assert titles(photographs) == [
        "Look at this first", "Classes", "Samples", "Augmentation", "Photographs", "Pixels", "Doubles",
    ]  # fmt: skip
    html = photographs.read_text()
    assert html.count('class="tile sample small"') == 12
    assert html.count('class="tile drawn small"') == 6 * 6
    assert "http" not in re.sub(r"http-equiv|<script>.*?</script>", "", html, flags=re.DOTALL), "no address elsewhere"


@pytest.mark.parametrize(
    ("words", "sections"),
    [
        (["data=line", "data.samples=80"], ["Values to predict", "Columns", "Distributions", "Columns and values"]),
        (["data=spirals", "data.samples=90"], ["Classes", "Columns", "Points", "Distributions", "Correlations"]),
        (["data=linnerud"], ["Values to predict", "Columns", "Distributions", "Columns and values", "Correlations"]),
    ],
)
def test_each_kind_of_data_has_its_charts(words: list[str], sections: list[str]) -> None:
    page = page_of(look_at(*sentence_of(words)))
    assert [title for title in page.titles if title in sections] == sections


def test_points_and_counts_of_a_chart_are_those_of_the_data() -> None:
    from couloir.inspect.dataset import drawings

    look = look_at(*sentence_of(["data=moons", "data.samples=100"]))
    (chart,) = drawings.points(look)
    raw = look.data.splits["train"].source
    assert {trace["name"] for trace in chart.data} == {"0", "1"}
    drawn = sorted(zip(chart.data[0]["x"], chart.data[0]["y"], strict=True))
    assert drawn == sorted(map(tuple, raw.inputs[raw.targets == 0].tolist()))
    histograms, _ = drawings.distributions(look)
    assert [sum(sum(trace["y"]) for trace in each.data) for each in histograms] == [100, 100]
    counted = drawings.class_counts(look.facts["classes"])
    assert sum(sum(trace["y"]) for trace in counted.data) == 100


@pytest.mark.parametrize("page", ["table", pytest.param("photographs", marks=pytest.mark.slow)])
def test_a_browser_draws_all_of_it_and_nothing_is_wider_than_a_phone(
    page: str, show: Any, request: pytest.FixtureRequest
) -> None:
    shown = show(request.getfixturevalue(page), viewport={"width": 1280, "height": 900})
    shown.draw_all()
    marks = ".lines path, .points path, .hm image"
    assert all(chart.locator(marks).count() for chart in shown.page.locator(".chart").all())
    for width in (800, 400):
        shown.page.set_viewport_size({"width": width, "height": 800})
        assert shown.page.evaluate("document.documentElement.scrollWidth") == width
    shown.page.emulate_media(color_scheme="dark")
    assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 20, 27)"
    if page == "photographs":
        box = shown.page.locator(".tile.sample").first.bounding_box()
        assert box["width"] == box["height"] == 96
