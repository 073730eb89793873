"""Masks: each pixel has the class that the table gives it, whatever the file's mode, or the file is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from couloir.config.fields import IGNORED
from couloir.data.mask_table import table_of
from couloir.data.masks import ReadMask, ReadValues, classes_found, values_of
from couloir.errors import CouloirError

MOST = 10**6
TRUTH = np.array([[0, 1, 2, 1], [2, 2, 0, 0], [1, 0, 0, 2]], np.uint8)
PALETTE = [10, 10, 10, 200, 0, 0, 0, 0, 200]
COLOURS = np.array(PALETTE, np.uint8).reshape(3, 3)


def saved(folder: Path, mode: str) -> Path:
    """A file of `TRUTH`."""
    file = folder / "mask.png"
    if mode == "P":
        image = Image.fromarray(TRUTH, "P")
        image.putpalette(PALETTE)
    elif mode in ("RGB", "RGBA"):
        image = Image.fromarray(COLOURS[TRUTH]).convert(mode)
    elif mode == "I;16":
        image = Image.fromarray(TRUTH.astype(np.uint16) * 300)
    else:
        image = Image.fromarray(TRUTH * 100).convert(mode)

    image.save(file)
    return file


COLOURED = {"a": [10, 10, 10], "b": "#c80000", "c": [0, 0, 200]}


@pytest.mark.parametrize(
    ("mode", "colours"),
    [
        ("P", {"a": 0, "b": 1, "c": 2}), ("P", COLOURED), ("RGB", COLOURED), ("RGBA", COLOURED),
        ("L", {"a": 0, "b": 100, "c": 200}), ("LA", {"a": "0-99", "b": "100", "c": "other"}),
        ("L", {"a": 0, "b": "100-150", "c": [199, 200]}), ("I;16", {"a": 0, "b": 300, "c": "301-65535"}),
        ("RGB", {"a": "0-255", "b": "#c80000", "c": "other"}),
    ],
)  # fmt: skip
def test_each_pixel_has_the_class_of_its_value(mode: str, colours: dict[str, Any], tmp_path: Path) -> None:
    read = ReadMask(table_of(colours), MOST)
    assert read.table.classes == ("a", "b", "c")
    assert np.array_equal(read(saved(tmp_path, mode)), TRUTH[..., None])


def test_pixels_that_take_no_part_and_those_of_several_values_are_told_apart(tmp_path: Path) -> None:
    read = ReadMask(table_of({"b": 1, "rest": "other"}, 2), MOST)
    assert np.array_equal(read(saved(tmp_path, "P"))[..., 0], np.array([1, 0, IGNORED])[TRUTH])
    assert read.table.in_words() == ["b 1", "rest other", "ignored 2"]
    assert table_of({"0": 0, "#102030": "#102030"}).in_words() == ["0", "#102030"]
    coloured = ReadMask(table_of({"a": "10, 11", "b": "#c80000"}, "#0000c8"), MOST)
    assert np.array_equal(coloured(saved(tmp_path, "RGB"))[..., 0], np.array([0, 1, IGNORED])[TRUTH])


def test_a_mask_is_turned_as_its_image_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(TRUTH).save(tmp_path / "mask.png", exif=exif)
    read = ReadMask(table_of({"a": 0, "b": 1, "c": 2}), MOST)
    assert np.array_equal(read(tmp_path / "mask.png")[..., 0], np.rot90(TRUTH, -1))


@pytest.mark.parametrize(
    ("colours", "ignored", "says"),
    [
        ({"a": "x1"}, None, "data.colours: a is x1, which is no value of a pixel"),
        ({"a": [1, 2]}, 2, "The value 2 stands for two things: a and data.ignore_index"),
        ({"a": "1-9", "b": 9}, None, "The value 9 stands for two things: a and b"),
        ({"a": "other", "b": "other"}, None, "'other' to two classes, a and b"),
        ({0: "background"}, None, "'data.colours={background: 0, ...}'"),
        ({"a": [0, 0, 300]}, None, "which is no value"),
        ({"a": "9-1"}, None, "which is no value"),
        ({"a": 1.5}, None, "which is no value"),
        ({"a": 0, "b": True}, None, "which is no value"),
        ({"a": 0}, "-1", "data.ignore_index is -1, which is no value"),
        ({}, None, "names no class"),
    ],
)
def test_a_table_that_says_nothing_or_two_things_is_refused(colours: Any, ignored: Any, says: str) -> None:
    with pytest.raises(CouloirError) as caught:
        table_of(colours, ignored)
    assert says in str(caught.value)


def test_a_value_that_is_in_no_class_is_named_with_its_file(tmp_path: Path) -> None:
    file = saved(tmp_path, "L")
    with pytest.raises(CouloirError, match=r"mask.png has the value 200, which is in no class: 4 pixels") as caught:
        ReadMask(table_of({"a": 0, "b": 100}), MOST)(file)
    assert "data.ignore_index=200" in str(caught.value)
    with pytest.raises(CouloirError, match="three values of one class are written '0,100,200'"):
        ReadMask(table_of({"a": [0, 100, 200]}), MOST)(file)
    grey = Image.fromarray(np.kron(TRUTH > 0, np.full((9, 9), 255)).astype(np.uint8))
    grey.save(tmp_path / "mask.jpg", quality=60)
    with pytest.raises(CouloirError, match=r"is a JPEG, which changes values along edges") as caught:
        ReadMask(table_of({"a": 0, "b": 255}), MOST)(tmp_path / "mask.jpg")
    ranges = ReadMask(table_of({"a": "0-127", "b": "128-255"}), MOST)(tmp_path / "mask.jpg")
    assert np.array_equal(ranges[..., 0] > 0, np.asarray(grey) > 0)
    with pytest.raises(CouloirError, match=r"4 x 3 pixels; the limit is data\.max_pixels=11"):
        ReadMask(table_of({"a": "other"}), 11)(file)
    Image.fromarray(TRUTH.astype(np.float32)).save(tmp_path / "mask.tif")
    with pytest.raises(CouloirError, match="pixels of the kind F, which do not stand for classes"):
        ReadMask(table_of({"a": "other"}), MOST)(tmp_path / "mask.tif")
    (tmp_path / "mask.png").write_bytes(file.read_bytes()[:40])
    with pytest.raises(CouloirError, match=r"mask\.png cannot be decoded"):
        ReadMask(table_of({"a": "other"}), MOST)(file)


def test_maps_of_values_go_from_black_to_white_in_8_and_16_bits(tmp_path: Path) -> None:
    values = np.array([[0, 51, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "map.png")
    assert np.array_equal(ReadValues(MOST)(tmp_path / "map.png")[..., 0], values)
    Image.fromarray(values.astype(np.uint16) * 257).save(tmp_path / "map.png")
    assert np.array_equal(ReadValues(MOST)(tmp_path / "map.png")[..., 0], values)
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "map.tif")
    with pytest.raises(CouloirError, match="nothing says which of them is 1"):
        ReadValues(MOST)(tmp_path / "map.tif")


def found(tmp_path: Path, *masks: Any, ignored: Any = None) -> dict[str, int | str]:
    files = []
    for number, mask in enumerate(masks):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(np.array(mask)).save(files[-1])
    return classes_found(values_of(files, MOST), ignored, "masks")


def test_classes_are_the_values_that_there_are(tmp_path: Path) -> None:
    byte = np.uint8
    assert found(tmp_path, byte([[0, 255]])) == {"background": 0, "foreground": 255}
    assert found(tmp_path, byte([[0, 1]]), byte([[2, 1]])) == {"0": 0, "1": 1, "2": 2}
    assert found(tmp_path, byte([[0, 1, 2, 255]]), ignored=255) == {"0": 0, "1": 1, "2": 2}
    coloured = found(tmp_path, byte([[[0, 0, 0], [128, 0, 0]]]))
    assert coloured == {"background": 0, "foreground": "#800000"}
    assert table_of(coloured).classes == ("background", "foreground")


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        ([range(100)], ["100 different values, 0 to 99: too many", "data.maps=values"]),
        ([[0, 0], [0, 0]], ["the value 0 in every pixel"]),
        ([[0, 1, 2, 255]], ["1 of 1 have 255 besides", "data.ignore_index=255"]),
        (
            [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]],
            ["numbered objects", "object: other", "num_classes=4"],
        ),
    ],
)
def test_values_that_look_like_no_classes_are_refused(masks: Any, says: list[str], tmp_path: Path) -> None:
    with pytest.raises(CouloirError) as caught:
        found(tmp_path, *(np.array([mask], np.uint8) for mask in masks))
    assert all(text in str(caught.value) for text in says), caught.value
