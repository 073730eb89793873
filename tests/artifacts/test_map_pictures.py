"""The pictures of the worst maps show what is right, what is wrong and what does not count."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from couloir.artifacts.map_pictures import (
    CLASSES,
    IMAGES,
    NAMED,
    RIGHT,
    SHARES,
    TITLES,
    UNCOUNTED,
    VALUES,
    WRONG,
    maps_figure,
    maps_png,
    panels,
)
from couloir.metric.worst_maps import WorstMaps
from couloir.palette import palette


def planes(kind: str, height: int = 6, width: int = 9) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.integers(0, 256, (9 if kind == IMAGES else 5, height, width), dtype=np.uint8)
    if kind == CLASSES:
        found[-2:] %= 3
        found[-2, 0] = 255
    return found


def test_wrong_pixels_are_red_right_ones_pale_and_ignored_ones_black() -> None:
    of = planes(CLASSES)
    image, truth, said, error = panels(of, CLASSES)
    assert (image == of[:3].transpose(1, 2, 0)).all()
    assert (truth[1:] == palette()[of[3, 1:]]).all()
    assert (said == palette()[of[4]]).all()
    assert (error[0] == UNCOUNTED).all()
    right = of[3, 1:] == of[4, 1:]
    assert (error[1:][right] == RIGHT).all()
    assert (error[1:][~right] == WRONG).all()


def test_of_values_the_error_is_their_difference_from_dark_to_bright() -> None:
    of = planes(VALUES)
    of[-2], of[-1] = 200, 200
    of[-1, 0, 0] = 0
    _, truth, _, error = panels(of, VALUES)
    assert error[0, 0].sum() == truth[0, 0].sum() > error[1, 1].sum()
    assert (error[1, 1] == error[5, 8]).all()


def test_of_restored_images_the_largest_error_is_brightest_and_grey_is_grey() -> None:
    of = np.full((3, 4, 5), 100, np.uint8)
    of[2, 1, 1] = 110
    given, clean, answer, error = panels(of, IMAGES)
    assert given.shape == clean.shape == answer.shape == (4, 5, 3)
    assert (answer[1, 1] == 110).all()
    assert error.sum(axis=2).argmax() == 1 * 5 + 1


def test_an_input_that_nothing_made_worse_is_shown_once() -> None:
    of = np.full((3, 4, 5), 100, np.uint8)
    of[2, 1, 1] = 110
    figure = maps_figure(WorstMaps([4], {"psnr": [20.0]}, [of], ["a.png"]), IMAGES, [])
    assert [text.get_text() for text in figure.axes[0].texts][:3] == ["input", "answer", "error"]
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 3
    assert (shown[1][1, 1] == 110).all()


@pytest.mark.parametrize("kind", [CLASSES, VALUES, SHARES, IMAGES])
def test_the_picture_has_its_titles_its_numbers_and_a_legend(kind: str) -> None:
    numbers = {"mean_iou": [0.25, float("nan")], "pixel_accuracy": [0.5, 0.75]}
    figure = maps_figure(
        WorstMaps([4, 9], numbers, [planes(kind), planes(kind, 1, 30)], ["a$.png", f"{'x' * 40}.png"]),
        kind,
        ["sky", "sea", "a$b_c"],
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[:4] == list(TITLES[kind])
    assert "no. 4\na\\$.png\nmean IoU 0.250\npixel accuracy 0.500" in texts
    assert f"no. 9\n...{'x' * 21}.png\nmean IoU: none\npixel accuracy 0.750" in texts
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    if kind == CLASSES:
        assert legend == ["sky", "sea", r"a\$b_c", "wrong", "does not count"]
    else:
        assert legend[0] == "0"
        assert len(legend) == 3
    picture = np.asarray(Image.open(io.BytesIO(maps_png(figure))).convert("RGB"))
    assert (picture[:, :3] == 255).all(), "a light ground"


def test_of_many_classes_the_legend_names_those_of_most_pixels() -> None:
    of = np.zeros((5, 20, 20), np.uint8)
    of[-1] = np.arange(400).reshape(20, 20) % 200
    of[-2] = of[-1]
    figure = maps_figure(WorstMaps([0], {}, [of]), CLASSES, [])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*(str(place) for place in range(NAMED)), "wrong"]


def test_every_class_has_a_colour_of_its_own() -> None:
    colours = {tuple(colour) for colour in palette().tolist()}
    assert len(colours) == len(palette()) == 256
    first = palette()[:12].astype(int)
    apart = [np.abs(one - other).sum() for place, one in enumerate(first) for other in first[:place]]
    assert min(apart) > 90
