"""Windows of a fixed size: where they lie, what they show, and what is around an image that is smaller."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from couloir.augmentation.windows import RandomWindow
from couloir.config.fields import IGNORED
from couloir.data.windows import cut_out, windows_first
from couloir.errors import CouloirError

HEIGHT, WIDTH = 20, 30


def coordinates(count: int, height: int = HEIGHT, width: int = WIDTH) -> dict[str, Tensor]:
    """Images whose pixels say where they lie, and maps that say the same."""
    place = torch.arange(height * width).view(1, height, width).repeat(count, 1, 1)
    return {"image": place[:, None] / 1000, "map": place}


def test_an_unscaled_window_is_a_part_of_its_image_and_of_its_map_to_the_bit_wherever_it_lies() -> None:
    batch = coordinates(300)
    torch.manual_seed(0)
    after = RandomWindow([17, 27], [1.0, 1.0], 0.5)(batch)
    seen = set()
    for image, plane in zip(after["image"][:, 0], after["map"], strict=True):
        assert torch.equal(image, plane / 1000)
        mirrored = bool(plane[0, 0] > plane[0, 1])
        window = plane.flip(1) if mirrored else plane
        top, left = divmod(int(window[0, 0]), WIDTH)
        assert torch.equal(window, batch["map"][0, top : top + 17, left : left + 27])
        seen.add((top, left, mirrored))
    assert len(seen) == 4 * 4 * 2, "every place and both mirrors occur"


@pytest.mark.parametrize("scale", [1.0, 0.6, 1.7])
def test_around_an_image_that_is_smaller_than_the_window_nothing_counts(scale: float) -> None:
    batch = coordinates(20, 8, 30)
    batch["image"] = batch["image"] + 0.01
    torch.manual_seed(1)
    fields = {"image": "image", "map": "map", "values": "map"}
    after = RandomWindow(16, [scale, scale], 0.0)({**batch, "values": batch["image"]}, fields)
    rows = (after["map"] != IGNORED).sum(dim=1)
    assert rows.amin() >= round(8 * scale) - 1, "all of it is there"
    assert rows.amax() <= round(8 * scale) + 1
    assert torch.equal(after["image"] == 0, (after["map"] == IGNORED)[:, None]), "and its edges are not darkened"
    assert torch.equal(after["values"], after["image"])


def test_windows_of_files_are_zoomed_evenly_and_lie_in_large_images_or_around_small_ones() -> None:
    sizes = torch.tensor([[200, 300], [400, 60]]).repeat(400, 1)
    places, mirror = RandomWindow([40, 80], [0.5, 2.0], 0.25).windows(sizes, torch.Generator().manual_seed(0), 2.0)
    top, left, height, width = places.double().unbind(1)
    zoom = 80 / width
    assert (zoom.amin(), zoom.amax()) == (pytest.approx(0.5, abs=0.02), pytest.approx(2.0, abs=0.05))
    assert float(zoom.median()) == pytest.approx(1.25, abs=0.1)
    assert ((height - 40 / zoom).abs() <= 0.5 + 1e-9).all(), "not distorted"
    inside = (left >= 0) & (left + width <= sizes[:, 1])
    around = (left <= 0) & (left + width >= sizes[:, 1])
    assert torch.equal(inside | around, torch.ones_like(inside))
    assert torch.equal(around & ~inside, width > sizes[:, 1])
    assert ((top >= 0) & (top + height <= sizes[:, 0])).all()
    assert mirror.float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_a_window_beyond_its_frame_is_what_numpy_pads() -> None:
    frame = torch.arange(60, dtype=torch.uint8).view(5, 6, 2)
    planes = [np.pad(frame[..., channel].numpy(), 9, constant_values=value) for channel, value in ((0, 0), (1, 255))]
    for place in ((-3, 2, 7, 3), (1, -2, 3, 12), (2, 3, 9, 3), (0, 0, 5, 6)):
        top, left, height, width = place
        expected = [plane[top + 9 : top + 9 + height, left + 9 : left + 9 + width] for plane in planes]
        assert np.array_equal(cut_out(frame, place, [0, 255]), np.stack(expected, axis=2))
    assert cut_out(frame, (1, 1, 3, 3), [0, 255]).data_ptr() == frame[1, 1].data_ptr(), "a part is not copied"


def test_windows_of_another_shape_than_the_samples_and_a_scale_of_one_number_are_refused() -> None:
    windows, rest = windows_first(RandomWindow([40, 80], [1.0, 1.0], 0.5))
    assert windows is not None
    assert rest is None
    with pytest.raises(CouloirError, match="Windows of 40x80 pixels do not have the shape of the samples"):
        windows.windows(torch.tensor([[200, 300]]), torch.Generator(), 1.0)
    with pytest.raises(CouloirError, match="is the least and the largest factor, not"):
        RandomWindow(8, [1.0], 0.5)
