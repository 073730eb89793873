"""A drawing: the PNG and the SVG show what was drawn, where it was drawn."""

from __future__ import annotations

import io
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from couloir.artifacts.canvas import POINT, Canvas, fitted, legible, letters, width_of
from waiting import LONGEST

SVG = "{http://www.w3.org/2000/svg}"


def pixels(canvas: Canvas) -> np.ndarray:
    with Image.open(io.BytesIO(canvas.png())) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_lines_boxes_and_dots_are_where_they_were_drawn() -> None:
    canvas = Canvas(100, 60)
    canvas.stroke([(10, 30), (90, 30)], "#ff0000", 3 / POINT)
    canvas.box((20, 5, 40, 15), fill="#0000ff")
    canvas.box((50, 20, 70, 40), fill="#ffffff", opacity=0.75)
    canvas.dot((80, 50), 8 / POINT, "#00ff00")
    seen = pixels(canvas)
    assert seen[30, 45].tolist() == [255, 0, 0]
    assert seen[26, 45].tolist() == seen[34, 45].tolist() == [255, 255, 255]
    assert seen[10, 30].tolist() == [0, 0, 255]
    assert seen[30, 60].tolist() == pytest.approx([255, 191, 191], abs=2), "what is below a box can be seen"
    assert seen[50, 80].tolist() == [0, 255, 0]
    assert seen[50, 86].tolist() == [255, 255, 255]


def test_a_dotted_line_is_as_long_as_a_whole_one_and_has_gaps_also_around_a_bend() -> None:
    canvas = Canvas(100, 100)
    canvas.stroke([(10, 50), (50, 50), (50, 90)], "#000000", 2 / POINT, dotted=True)
    dark = pixels(canvas).sum(axis=2) < 380
    assert 0.25 < dark[48:52, 10:50].any(axis=0).mean() < 0.75
    assert 0.25 < dark[50:90, 48:52].any(axis=1).mean() < 0.75
    assert not dark[:40].any()


def test_words_stand_where_their_anchor_says_and_upward_from_bottom_to_top() -> None:
    width = width_of("HHHH", 9)
    for anchor, left in (("start", 100.0), ("middle", 100 - width / 2), ("end", 100 - width)):
        canvas = Canvas(200, 200)
        canvas.write((100, 60), "HHHH", anchor=anchor)  # type: ignore[arg-type]
        rows, columns = np.nonzero(pixels(canvas).sum(axis=2) < 500)
        assert columns.min() == pytest.approx(left, abs=4)
        assert columns.max() == pytest.approx(left + width, abs=4)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(60, abs=1.5)
    canvas = Canvas(200, 200)
    canvas.write((60, 100), "HHHH", upward=True)
    rows, columns = np.nonzero(pixels(canvas).sum(axis=2) < 500)
    assert rows.max() - rows.min() == pytest.approx(width, abs=6)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(100, abs=2)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(60, abs=1.5)


def test_the_svg_has_every_shape_and_every_word_and_may_hold_any_character() -> None:
    canvas = Canvas(160, 80)
    canvas.stroke([(0, 0), (10, 5.125)], "#ff0000", 1, dotted=True)
    canvas.box((1, 2, 4, 8), outline="#000000", opacity=0.5)
    canvas.dot((9, 9), 2, "#00ff00")
    canvas.write((5, 5), "a < b & c", upward=True, bold=True)
    root = ET.fromstring(canvas.svg().decode())
    assert root.get("viewBox") == "0 0 160 80"
    (line,) = root.findall(f"{SVG}polyline")
    assert line.get("points") == "0,0 10,5.12"
    assert line.get("stroke-dasharray")
    assert [rect.get("height") for rect in root.findall(f"{SVG}rect")] == ["80", "6"]
    assert root.find(f"{SVG}ellipse") is not None
    (words,) = root.findall(f"{SVG}text")
    assert words.text == "a < b & c"
    assert "rotate(-90)" in words.attrib["transform"]
    assert canvas.svg() == canvas.svg()


def test_a_picture_of_curves_does_without_matplotlib(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom couloir.artifacts.curves import draw_curves\n"
        "import couloir.artifacts.board_pictures, couloir.artifacts.labelled_tiles\n"
        "assert draw_curves([{'epoch': 1, 'lr': 0.1, 'train/loss': 2.0}], Path(sys.argv[1])) is None\n"
        "print([name for name in ('matplotlib', 'plotly', 'scipy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "curves.png")],
        check=True, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_a_class_whose_letters_are_not_in_the_font_is_its_number_and_not_a_row_of_boxes() -> None:
    assert legible(["cat", "猫", "кошка", "a 🐶", "naïve β"]) == ["cat", "class 1", "кошка", "class 3", "naïve β"]


def test_words_that_are_too_long_keep_their_beginning_and_their_end() -> None:
    font = letters(20)
    assert fitted("a  name", font, 500) == "a name"
    cut = fitted("a_very_long_name_of_layer_12", font, 150)
    assert cut.startswith("a_ver")
    assert cut.endswith("_12")
    assert font.getlength(cut) <= 150
    assert fitted("name", font, 1) == "…"
