"""What is written can be read back: numbers to the bit, pictures at their size, frames in their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from couloir.inference.sampling.drawing import Made
from couloir.inference.sampling.pictures import write_each, write_film, write_numbers
from couloir.inference.sampling.words import GIF, PNG, is_ours


def test_numbers_of_several_batches_are_one_array_of_their_length(tmp_path: Path) -> None:
    pictures = torch.rand(131, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    write_numbers(tmp_path / "a.npy", [pictures[:64], pictures[64:128], pictures[128:]])
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, pictures.numpy())


def test_each_picture_has_its_own_size_number_and_class(tmp_path: Path) -> None:
    pictures = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(3, 1, 2, 3)
    write_each(tmp_path, [Made(torch.arange(5, 8), torch.tensor([1, 0, 2]), pictures)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["000005_class_1.png", "000006_class_0.png", "000007_class_2.png"]
    with Image.open(tmp_path / "000006_class_0.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.full((2, 3), 128))


@pytest.mark.parametrize("form", [GIF, PNG])
def test_a_film_has_all_frames_in_order_and_begins_again(form: str, tmp_path: Path) -> None:
    file = tmp_path / f"walk{form}"
    levels = [0.0, 0.4, 0.8]
    write_film(file, form, [torch.full((1, 1, 8, 8), level) for level in levels])
    with Image.open(file) as film:
        assert getattr(film, "n_frames", 1) == 3
        assert film.info["loop"] == 0
        for frame, level in enumerate(levels):
            film.seek(frame)
            np.testing.assert_allclose(np.asarray(film.convert("L")), round(255 * level), atol=1)
        assert film.size == (256, 256)
    assert is_ours(file)
