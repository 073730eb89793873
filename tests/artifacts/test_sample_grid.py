"""Grids of made pictures: each picture is where its number says, and looks as the network made it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.artifacts.sample_grid import BLOCK_GAP, GAP, as_png, below, columns_for, enlarged, grid, tiles


def test_a_picture_stands_in_the_row_and_column_of_its_number() -> None:
    pictures = (torch.arange(5) / 255 * 10).view(5, 1, 1, 1).expand(5, 1, 50, 60)
    sheet = grid(pictures, columns=3)
    assert sheet.shape == (2 * 50 + GAP, 3 * 60 + 2 * GAP)
    for number in range(5):
        top, left = number // 3 * (50 + GAP), number % 3 * (60 + GAP)
        assert (sheet[top : top + 50, left : left + 60] == 10 * number).all()
    assert (sheet[50 + GAP :, -60:] == 255).all()  # there is no sixth
    assert (sheet[:, 60 : 60 + GAP] == 255).all()


def test_small_pictures_are_enlarged_without_mixing_their_pixels() -> None:
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    (shown,) = tiles(picture)
    factor = enlarged(8, 8)
    assert shown.shape == (8 * factor, 8 * factor, 3)
    assert factor * 8 >= 48
    expected = np.kron((picture[0].permute(1, 2, 0) * 255).round().numpy(), np.ones((factor, factor, 1)))
    assert np.array_equal(shown, expected)
    assert enlarged(64, 64) == 1


def test_what_is_no_number_or_beyond_white_does_not_turn_into_another_shade() -> None:
    pixels = torch.tensor([float("nan"), -0.5, 1.5, 0.5]).view(1, 1, 1, 4)
    assert tiles(pixels)[0, 0, :: enlarged(1, 4)].tolist() == [0, 0, 255, 128]


def test_input_and_rebuilt_picture_of_a_sample_stand_below_each_other() -> None:
    given = (torch.arange(5) / 255 * 10).view(5, 1, 1, 1).expand(5, 1, 48, 48)
    sheet = below([given, given + 100 / 255], columns=3)
    assert sheet.shape == (4 * 48 + 2 * GAP + BLOCK_GAP, 3 * 48 + 2 * GAP)
    assert sheet[0, 50 + GAP] == 10
    assert sheet[48 + GAP, 50 + GAP] == 110
    second = 2 * 48 + GAP + BLOCK_GAP
    assert (sheet[second - BLOCK_GAP : second] == 255).all()
    assert sheet[second, 0] == 30
    assert sheet[second + 48 + GAP, 0] == 130


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_holds_the_same_pixels(channels: int) -> None:
    sheet = grid(torch.rand(4, channels, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(as_png(sheet)))), sheet)
    assert columns_for(64) == 8
