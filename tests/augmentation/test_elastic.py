"""Elastic deformations against SciPy: the displacements, and the images taken from displaced places."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from couloir.augmentation.elastic import Displaced, Elastic, Simard
from couloir.ragged import Ragged

HEIGHT, WIDTH = 21, 33


def images() -> torch.Tensor:
    return torch.rand(2, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def test_the_points_of_the_grid_have_the_displacements_drawn_and_between_them_nothing_jumps() -> None:
    torch.manual_seed(3)
    drawn = torch.randn(2, 2, 3, 3) * 4
    torch.manual_seed(3)
    field = Elastic(3, 4.0).displacements(images())
    assert field.shape == (2, 2, HEIGHT, WIDTH)
    torch.testing.assert_close(field[:, :, ::10, ::16], drawn, rtol=1e-4, atol=1e-4)
    steepest = 2 * (drawn[:, :, 1:] - drawn[:, :, :-1]).abs().amax() / 10  # a cubic's slope is less than twice the mean
    assert field.diff(dim=2).abs().amax() < steepest


def test_simards_displacements_are_what_scipy_smooths() -> None:
    torch.manual_seed(4)
    drawn = (torch.rand(2, 2, HEIGHT, WIDTH) * 2 - 1).numpy()
    torch.manual_seed(4)
    found = Simard(34.0, 4.0).displacements(images()).numpy()
    expected = ndimage.gaussian_filter(34.0 * drawn, (0, 0, 4, 4), mode="constant", truncate=5)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("border", "mode"), [("black", "grid-constant"), ("mirror", "reflect")])
@pytest.mark.parametrize("kind", ["elastic", "simard"])
def test_each_pixel_comes_from_where_its_displacement_points(kind: str, border: str, mode: str) -> None:
    augmentation: Displaced = Elastic(3, 6.0, border) if kind == "elastic" else Simard(60.0, 3.0, border)
    x = images()
    torch.manual_seed(5)
    right, down = augmentation.displacements(x).numpy().swapaxes(0, 1)
    torch.manual_seed(5)
    found = augmentation({"image": x, "map": (x[:, 0] * 9).long()})
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for number in range(2):
        places = [rows + down[number], columns + right[number]]
        expected = ndimage.map_coordinates(x[number, 0].numpy(), places, order=1, mode=mode)
        np.testing.assert_allclose(found["image"][number, 0], expected, atol=1e-4)
        classes = ndimage.map_coordinates((x[number, 0] * 9).int().numpy(), places, order=0, mode=mode, cval=255)
        assert (found["map"][number].numpy() == classes).mean() > 0.99, "but for places between two pixels"


def test_a_box_is_the_box_of_all_pixels_that_come_out_of_it_and_what_has_left_the_image_is_gone() -> None:
    class Away(Displaced):
        """Takes each pixel from 5 to its right and 2 above it: everything moves 5 to the left and 2 down."""

        def displacements(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([5.0, -2.0]).view(1, 2, 1, 1).expand(len(x), 2, *x.shape[2:])

    boxes = [torch.tensor([[10.0, 4, 16, 9, 1], [0, 0, 5, 5, 2]]), torch.tensor([[3.0, 0, 9, 20, 3]])]
    found = Away("black")({"image": images(), "boxes": Ragged.of(boxes)})["boxes"]
    assert [sample.tolist() for sample in found.samples()] == [[[5, 6, 11, 11, 1]], [[0, 2, 4, HEIGHT, 3]]]
