"""Histograms of oriented gradients against scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from couloir.errors import CouloirError
from couloir.model.hog import HistogramsOfGradients, hog_linear
from networks import build


@pytest.mark.parametrize(
    ("channels", "size", "orientations", "cell", "block"), [(1, (28, 28), 9, 4, 2), (3, (33, 26), 8, 5, 3)]
)
def test_the_baseline_sees_what_scikit_image_computes(
    channels: int, size: tuple[int, int], orientations: int, cell: int, block: int
) -> None:
    feature = pytest.importorskip("skimage.feature")
    images = np.random.default_rng(0).random((3, channels, *size))
    expected = [
        feature.hog(image.transpose(1, 2, 0), orientations, (cell, cell), (block, block), channel_axis=-1)
        for image in images
    ]
    found = HistogramsOfGradients(orientations, cell, block)(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-6)  # its votes are in single precision


def test_the_classifier_alone_learns_and_takes_a_number_for_each_bin_of_each_block() -> None:
    net = build("hog_linear", 1, 28, 10)
    assert [tuple(p.shape) for p in net.parameters()] == [(10, 6 * 6 * 4 * 9), (10,)]
    assert not net.hog.state_dict()


def test_an_even_image_has_no_direction() -> None:
    assert float(HistogramsOfGradients(9, 4, 2)(torch.ones(1, 1, 16, 16)).abs().max()) == 0


def test_images_without_room_for_a_block_are_refused() -> None:
    with pytest.raises(CouloirError, match="2 x 2 cells of 8 pixels does not fit into images of 12x40"):
        hog_linear(1, [12, 40], 10, cell_size=8)
