"""Digits on photographs: the masks, boxes and maps are exact, and no split knows anything of another."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from couloir.data.digits_on_photographs import COLUMNS, INK, NO_BOX, Scenes, blurred, enlarged, scenes


def made(numbers: range, split: str = "train", **keys: Any) -> Scenes:
    return scenes(numbers, split, **{"image_size": 48, "channels": 3, "seed": 0, "most": 3, "sigma": 2.0, **keys})


def test_a_sample_has_the_same_bytes_on_every_machine_and_whatever_the_number_of_others() -> None:
    many, one = made(range(5)), made(range(3, 4))
    for name in ("images", "masks", "saliency", "boxes"):
        assert np.array_equal(getattr(many, name)[3:4], getattr(one, name))
    digest = hashlib.sha256(many.images.tobytes() + many.masks.tobytes() + many.saliency.tobytes())
    assert digest.hexdigest()[:16] == "82f2776fb33fb2c1"
    assert not np.array_equal(many.images, made(range(5), seed=1).images)
    assert not np.array_equal(many.images, made(range(5), "val").images)


@pytest.mark.parametrize("size", [24, [40, 90]])
def test_each_box_is_the_extent_of_its_digit_in_the_mask(size: object) -> None:
    made_of = made(range(20), "test", image_size=size)
    drawn = 0
    for mask, boxes in zip(made_of.masks, made_of.boxes, strict=True):
        there = boxes[boxes[:, -1] != NO_BOX]
        drawn += len(there)
        covered = np.zeros_like(mask)
        for x0, y0, x1, y1, digit in there:
            inside = mask[y0:y1, x0:x1] == digit + 1
            assert all(inside[edge].any() for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))
            covered[y0:y1, x0:x1][inside] = 1
        assert np.array_equal(covered, mask > 0)  # nothing in the mask is without a box
        assert len(there) > 0
    assert drawn > 20  # several on some


def test_no_split_has_a_pixel_or_a_digit_of_another() -> None:
    ends = [0.0, *(end for _, end in COLUMNS.values())]
    assert [start for start, _ in COLUMNS.values()] == ends[:-1]
    assert ends[-1] == 1.0


def test_a_digit_can_be_seen_on_the_brightest_and_on_the_darkest_place() -> None:
    made_of = made(range(60), channels=1, most=1)
    for image, mask in zip(made_of.images[:, 0].astype(int), made_of.masks, strict=True):
        ring = torch.from_numpy(mask > 0)[None].float()
        ring = (F.max_pool2d(ring, 5, 1, 2)[0].numpy() > 0) & (mask == 0)
        assert abs(image[mask > 0].mean() - image[ring].mean()) > 10


def test_a_digit_is_enlarged_bilinearly() -> None:
    digit = np.random.default_rng(0).integers(INK + 1, size=(8, 8), dtype=np.uint8)
    for side in (8, 13, 21):
        there = F.interpolate(torch.from_numpy(digit)[None, None].double(), (side, side), mode="bilinear")[0, 0]
        assert np.allclose(enlarged(digit, side) / (2 * side) ** 2, there.numpy())


def test_saliency_is_the_gaussian_blur_of_the_digits_with_its_maximum_at_255() -> None:
    masks = made(range(4), image_size=[40, 56]).masks > 0
    ours = blurred(masks, 2.5)
    for mask, blur in zip(masks, ours, strict=True):
        reference = gaussian_filter(mask.astype(float), 2.5, mode="constant", truncate=8)
        assert np.abs(blur - 255 * reference / reference.max()).max() <= 1
        assert blur.max() == 255
    assert not blurred(np.zeros((1, 9, 9), bool), 2.0).any()
