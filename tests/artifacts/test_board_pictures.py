"""The pictures of a completed run on TensorBoard: nothing that they show is another's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from couloir.artifacts.board_pictures import confusion_drawing, mistakes_picture, shade
from couloir.artifacts.canvas import Box
from couloir.artifacts.labelled_tiles import Word, labelled_tiles
from couloir.record.folder import RunFolder
from couloir.record.tested import write_pictures


def test_each_count_stands_in_the_row_of_the_true_class_and_the_column_of_the_predicted_one() -> None:
    drawing = confusion_drawing(["cat", "dog", "ox"], np.array([[8, 2, 0], [0, 5, 5], [3, 0, 0]]))
    at = {words.text: words.at for words in drawing.words if words.text in ("8", "2", "3")}
    left, above = {}, {}
    for words in drawing.words:
        if words.text in ("cat", "dog", "ox"):
            (above if words.upward else left)[words.text] = words.at
    assert at["2"][1] == pytest.approx(left["cat"][1])
    assert at["2"][0] == pytest.approx(above["dog"][0])
    assert at["3"][1] == pytest.approx(left["ox"][1])
    assert at["3"][0] == pytest.approx(above["cat"][0])
    cells = [shape.fill for shape in drawing.shapes if isinstance(shape, Box) and shape.fill][:9]
    assert cells == [shade(share) for share in (0.8, 0.2, 0, 0, 0.5, 0.5, 1, 0, 0)], "shares of the true class"
    assert "0" not in [words.text for words in drawing.words if words.points > 6], "an empty cell stays empty"


def test_a_matrix_of_many_classes_has_no_room_for_their_names_and_counts() -> None:
    for classes, named, counted in ((3, True, True), (30, True, False), (60, False, False)):
        names = [f"c{number}" for number in range(classes)]
        drawing = confusion_drawing(names, np.full((classes, classes), 7))
        texts = [words.text for words in drawing.words]
        assert (texts.count("c1") == 2) == named
        assert (texts.count("7") == classes**2) == counted
        with Image.open(io.BytesIO(drawing.png())) as image:
            assert image.size == (drawing.width, drawing.height)


def test_names_that_differ_at_their_ends_alone_can_be_told_apart() -> None:
    drawing = confusion_drawing([f"class_with_a_name_{number}" for number in (10, 11)], np.eye(2))
    assert len({words.text for words in drawing.words if "…" in words.text}) == 2


def test_the_shades_go_from_pale_to_dark_without_a_step_back() -> None:
    light = [sum(int(shade(share)[at : at + 2], 16) for at in (1, 3, 5)) for share in np.linspace(0, 1, 101)]
    assert light == sorted(light, reverse=True)
    assert shade(0) == "#f7fbff"
    assert shade(1) == "#08306b"


@pytest.mark.parametrize("count", [1, 13, 60])
def test_the_most_wrong_samples_are_shown_in_whole_rows_as_they_stand_in_their_picture(
    count: int, tmp_path: Path
) -> None:
    tiles = np.stack([np.full((6, 4), 4 * number, np.uint8) for number in range(count)])
    words = [(Word("eight"), Word("said nine"))] * count
    picture, grid = labelled_tiles(tiles, words, 10, 84, "what the network said")
    (tmp_path / "mistakes.png").write_bytes(picture)
    write_pictures(RunFolder(tmp_path), {"mistakes": grid})
    found = mistakes_picture(tmp_path)
    assert found is not None
    with Image.open(io.BytesIO(found[0])) as shown, Image.open(io.BytesIO(picture)) as whole:
        assert shown.size == found[1]
        rows = min(4, -(-count // 10))
        assert np.array_equal(np.asarray(shown), np.asarray(whole)[: shown.height])
        last = grid.box(min(count, 10 * rows) - 1)
        assert last[3] < shown.height, "all of the last row can be seen"
        assert count <= 40 or shown.height < grid.box(40)[1], "and nothing of the next one"


def test_wide_pictures_are_made_smaller(tmp_path: Path) -> None:
    picture, grid = labelled_tiles(np.zeros((10, 300, 300), np.uint8), [(Word("a"),)] * 10, 10, 84, "what it said")
    (tmp_path / "mistakes.png").write_bytes(picture)
    write_pictures(RunFolder(tmp_path), {"mistakes": grid})
    found = mistakes_picture(tmp_path)
    assert found is not None
    assert found[1][0] == 1200
