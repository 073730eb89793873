"""Each augmentation against NumPy on the draws it made, and what all of them promise."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from scipy import ndimage

from couloir.augmentation.geometry import (
    Affine,
    Cutout,
    FlipCrop,
    RandomResizedCrop,
    Rotate,
    Shift,
    crop_at,
    rotation,
    sample_at,
)
from couloir.augmentation.mixing import CutMix, Mixup
from couloir.augmentation.photometric import Noise, PCAColor, Photometric, turn_hue
from couloir.config import tree
from couloir.config.compose import compose_sentence
from couloir.config.needs import lacking
from couloir.errors import CouloirError

NAMES = [name for name in tree.choices("augmentation") if name != "adversarial"]  # which needs a network


def rotated(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    places = F.affine_grid(rotation(angles, x.shape[2] / x.shape[3]), list(x.shape), align_corners=False)
    return sample_at(x, places, "zeros")


def build(name: str, size: str = "12") -> Any:
    words = ["data=synthetic", "data.num_classes=4", f"data.image_size={size}", f"augmentation={name}"]
    cfg = compose_sentence(words).cfg
    return instantiate(cfg.augmentation, _convert_="all")


def images(batch: int = 8, channels: int = 3, size: int = 12) -> torch.Tensor:
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", NAMES)
def test_images_that_are_not_square_keep_their_shape(name: str) -> None:
    x = torch.rand(8, 3, 10, 16, generator=torch.Generator().manual_seed(3))
    out = build(name, "[10,16]")(x)
    assert out.shape == x.shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_shape_and_type_are_kept_and_the_input_is_not_changed(name: str, channels: int) -> None:
    if channels == 1 and lacking(
        tree.choices("augmentation")[name], {"fields": {"x": "image", "y": "label"}, "channels": 1}
    ):
        with pytest.raises(CouloirError, match="the images have 1 channels"):
            build(name)(images(channels=1))
        return
    x = images(channels=channels)
    before = x.clone()
    out = build(name)(x)
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert torch.equal(x, before)
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_the_same_seed_gives_the_same_batch_and_each_sample_its_own_draw(name: str) -> None:
    x = images(1).repeat(32, 1, 1, 1)
    if name in ("mixup", "cutmix"):
        x = images(32)
    augmentation = build(name, "9" if name == "random_window" else "12")
    torch.manual_seed(1)
    first = augmentation(x)
    torch.manual_seed(1)
    assert torch.equal(augmentation(x), first)
    torch.manual_seed(2)
    assert not torch.equal(augmentation(x), first)
    if first.shape == x.shape:
        first = first - x
    distinct = {tuple(row.flatten().tolist()) for row in first}
    assert len(distinct) >= 8, "samples share their draws"  # there are eight symmetries of a square


def test_a_shift_is_a_slice_of_the_padded_image() -> None:
    x = images(16)
    torch.manual_seed(0)
    out = Shift(2)(x).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    for sample in range(16):
        candidates = [padded[sample, :, top : top + 12, left : left + 12] for top in range(5) for left in range(5)]
        assert any(np.array_equal(out[sample], candidate) for candidate in candidates)


def test_every_offset_and_both_mirrors_occur() -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8).repeat(2000, 1, 1, 1)
    torch.manual_seed(0)
    out = FlipCrop(padding=1, flip=0.5)(x)
    padded = np.pad(x[0].numpy(), ((0, 0), (1, 1), (1, 1)))
    seen = set()
    for row in out[:400].numpy():
        for top in range(3):
            for left in range(3):
                window = padded[:, top : top + 8, left : left + 8]
                for mirrored, candidate in ((False, window), (True, window[:, :, ::-1])):
                    if np.array_equal(row, candidate):
                        seen.add((top, left, mirrored))
    assert len(seen) == 18


def test_crop_at_is_numpy_slicing() -> None:
    x = images(3, size=10)
    top, left, mirror = torch.tensor([0, 2, 5]), torch.tensor([4, 0, 1]), torch.tensor([False, True, True])
    out = crop_at(x, top, left, mirror, (5, 4)).numpy()
    for sample in range(3):
        window = x.numpy()[sample, :, top[sample] : top[sample] + 5, left[sample] : left[sample] + 4]
        assert np.array_equal(out[sample], window[:, :, ::-1] if mirror[sample] else window)


def test_a_quarter_turn_is_exact_and_any_angle_agrees_with_scipy() -> None:
    x = images(2, 1, 9)
    quarter = rotated(x, torch.tensor([math.pi / 2, math.pi]))
    np.testing.assert_allclose(quarter[0, 0], np.rot90(x[0, 0]), atol=1e-5)
    np.testing.assert_allclose(quarter[1, 0], np.rot90(x[1, 0], 2), atol=1e-5)
    angle = 20.0
    out = rotated(x, torch.full((2,), math.radians(angle)))[0, 0].numpy()
    expected = ndimage.rotate(x[0, 0].numpy(), angle, reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(out[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-4)


def test_rotations_stay_within_their_angle() -> None:
    x = torch.zeros(200, 1, 21, 21)
    x[:, :, 10, 18] = 1.0
    torch.manual_seed(0)
    out = Rotate(15.0)(x)[:, 0]
    grid = torch.arange(21.0) - 10
    mass = out.sum(dim=(1, 2))
    rows = (out * grid[:, None]).sum(dim=(1, 2)) / mass
    columns = (out * grid).sum(dim=(1, 2)) / mass
    angles = torch.rad2deg(torch.atan2(-rows, columns))
    assert angles.abs().max() <= 16
    assert angles.max() > 10
    assert angles.min() < -10


def test_a_resized_crop_of_the_whole_image_is_the_image_or_its_mirror() -> None:
    x = images(20)
    out = RandomResizedCrop([1.0, 1.0], [1.0, 1.0], flip=0.5)(x)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(out, x, strict=True)]
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(out, x, strict=True)]
    assert all(a or b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


def test_resized_crops_have_the_area_and_shape_asked_for() -> None:
    ramp = torch.linspace(0, 1, 65)[None, None, None].expand(500, 1, 65, 65)
    both = torch.cat([ramp, ramp.transpose(2, 3)], dim=1).contiguous()
    torch.manual_seed(0)
    out = RandomResizedCrop([0.25, 0.5], [0.5, 2.0], flip=0.0)(both)
    width = (out[:, 0, 32, 60] - out[:, 0, 32, 4]) * 65 / 56
    height = (out[:, 1, 60, 32] - out[:, 1, 4, 32]) * 65 / 56
    area, ratio = width * height, width / height
    assert area.min() > 0.2
    assert area.max() < 0.55
    assert ratio.min() > 0.45
    assert ratio.max() < 2.2
    assert ratio.min() < 0.6
    assert ratio.max() > 1.7
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("keys", "formula"),
    [
        ({"brightness": 0.5}, lambda x, f, grey: x * f),
        ({"contrast": 0.5}, lambda x, f, grey: grey.mean() + (x - grey.mean()) * f),
        ({"saturation": 0.5}, lambda x, f, grey: grey + (x - grey) * f),
    ],
    ids=["brightness", "contrast", "saturation"],
)
def test_photometric_changes_follow_their_formula(keys: dict, formula: Any) -> None:
    x = images(6) * 0.5 + 0.2
    settings = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, **keys}
    torch.manual_seed(0)
    out = Photometric(**settings)(x).numpy()
    torch.manual_seed(0)
    draws = torch.rand(4, 6, 1, 1, 1) * 2 - 1
    row = ["brightness", "contrast", "saturation"].index(next(iter(keys)))
    for sample in range(6):
        image = x[sample].numpy()
        grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        factor = 1 + 0.5 * float(draws[row, sample])
        np.testing.assert_allclose(out[sample], np.clip(formula(image, factor, grey), 0, 1), atol=1e-5)


def test_hue_turns_the_colour_circle_by_each_samples_draw_and_keeps_greys() -> None:
    red = torch.tensor([0.8, 0.2, 0.2]).view(1, 3, 1, 1).repeat(4, 1, 2, 2)
    torch.manual_seed(0)
    out = Photometric(0.0, 0.0, 0.0, 0.5)(red)
    torch.manual_seed(0)
    draws = (torch.rand(4, 4, 1, 1, 1) * 2 - 1)[3].flatten()
    for sample in range(4):
        hue, saturation, value = colorsys.rgb_to_hsv(0.8, 0.2, 0.2)
        expected = colorsys.hsv_to_rgb((hue + 0.5 * float(draws[sample])) % 1, saturation, value)
        np.testing.assert_allclose(out[sample, :, 0, 0], expected, atol=1e-4)
    grey = torch.full((2, 3, 2, 2), 0.4)
    np.testing.assert_allclose(Photometric(0.0, 0.0, 0.0, 0.5)(grey), grey, atol=1e-5)


def test_turned_hues_are_those_of_the_standard_library_for_every_pixel_of_every_kind() -> None:
    x = images(6, size=9)
    x[1] = (x[1] * 3).round() / 3  # pixels with equal channels, and with channels of 0 and 1
    x[2] = x[2, :1]  # greys
    x[3] = (x[3] > 0.5).float()  # black, white, and the six pure colours
    share = torch.tensor([0.0, 0.21, 0.4, 1 / 6, -0.5, -0.37])
    turned = turn_hue(x, share)
    for before, after, by in zip(x, turned, share.tolist(), strict=True):
        for pixel, found in zip(before.flatten(1).T.tolist(), after.flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            expected = colorsys.hsv_to_rgb((hue + by) % 1, saturation, value)
            np.testing.assert_allclose(found, expected, atol=2e-6)
    assert turned.min() >= 0
    assert turned.max() <= 1


def test_turned_hues_are_those_that_runs_had_from_kornia() -> None:
    """What `kornia.enhance.adjust_hue` 0.9.0 gave, to five decimals."""
    pixels = [(0.8, 0.2, 0.1), (0.1, 0.6, 0.3), (0.25, 0.25, 0.9), (0.9, 0.9, 0.1), (0.5, 0.5, 0.5), (1.0, 0.0, 0.7)]
    kornia = {
        -0.13: [(0.8, 0.1, 0.546), (0.29, 0.6, 0.1), (0.25, 0.757, 0.9), (0.9, 0.276, 0.1), (0.5,) * 3, (0.52, 0, 1)],
        0.05: [(0.8, 0.41, 0.1), (0.1, 0.6, 0.45), (0.445, 0.25, 0.9), (0.66, 0.9, 0.1), (0.5,) * 3, (1, 0, 0.4)],
        0.3: [(0.14, 0.8, 0.1), (0.2, 0.1, 0.6), (0.9, 0.25, 0.38), (0.1, 0.9, 0.74), (0.5,) * 3, (0.9, 1, 0)],
    }
    x = torch.tensor(pixels).T.reshape(1, 3, 1, -1).repeat(len(kornia), 1, 1, 1)
    turned = turn_hue(x, torch.tensor(list(kornia)))
    for found, expected in zip(turned[:, :, 0], kornia.values(), strict=True):
        np.testing.assert_allclose(found.T, expected, atol=6e-6)


def affine(**keys: float) -> Affine:
    return Affine(**{"degrees": 0.0, "scale": 0.0, "shear": 0.0, "pixels": 0.0, **keys})


def test_an_affine_map_of_nothing_is_the_image_and_of_an_angle_alone_a_rotation() -> None:
    x = images()
    assert torch.allclose(affine()(x), x, atol=1e-5)
    torch.manual_seed(1)
    angles = (torch.rand(6, len(x)) * 2 - 1)[0] * math.radians(30)
    torch.manual_seed(1)
    assert torch.allclose(affine(degrees=30.0)(x), rotated(x, angles), atol=1e-5)


@pytest.mark.parametrize("keys", [{"scale": 0.3}, {"shear": 0.4}, {"pixels": 2.0}])
def test_an_affine_map_moves_the_centre_of_mass_as_scipy_does(keys: dict) -> None:
    """One sample against scipy's resampling with the matrix written out."""

    size = 21
    x = torch.zeros(1, 1, size, size)
    x[0, 0, 6:12, 9:17] = 1.0
    torch.manual_seed(5)
    d = (torch.rand(6, 1) * 2 - 1)[:, 0].numpy()
    torch.manual_seed(5)
    out = affine(**keys)(x)[0, 0].numpy()
    width, height = 1 + d[1] * keys.get("scale", 0), 1 + d[2] * keys.get("scale", 0)
    # from an output place (row, column), measured from the middle, to the input place
    matrix = np.array([[height, 0.0], [d[3] * keys.get("shear", 0) * height, width]])
    shift = np.array([d[5], d[4]]) * keys.get("pixels", 0)
    middle = (size - 1) / 2
    expected = ndimage.affine_transform(
        x[0, 0].numpy(), matrix, offset=middle - matrix @ [middle, middle] + shift, order=1
    )
    np.testing.assert_allclose(out, expected, atol=2e-4)


def test_the_light_changes_along_the_principal_components() -> None:
    x = torch.full((3, 3, 2, 2), 0.5)
    values, vectors = [0.2, 0.02, 0.005], [[0.6, 0.5, 0.6], [0.7, 0.0, -0.7], [0.4, -0.8, 0.4]]
    torch.manual_seed(2)
    factors = torch.randn(3, 3) * 0.1
    torch.manual_seed(2)
    out = PCAColor(0.1, values, vectors)(x)
    expected = 0.5 + factors.numpy() @ (np.array(values)[:, None] * np.array(vectors))
    np.testing.assert_allclose(out[:, :, 0, 0].numpy(), expected, rtol=1e-5)
    assert (out == out[:, :, :1, :1]).all(), "one change for all pixels of an image"


def test_a_square_of_each_image_is_blanked_out_wherever_its_centre_lies() -> None:
    torch.manual_seed(0)
    x = torch.rand(500, 3, 12, 9) * 0.9
    blanked = (Cutout(pixels=4, value=1.0)(x) != x).any(dim=1)
    rows, columns = blanked.any(dim=2).sum(dim=1), blanked.any(dim=1).sum(dim=1)
    assert torch.equal(blanked.sum(dim=(1, 2)), rows * columns)  # a rectangle
    # The centre c in 0..n-1 leaves c - 2 .. c + 1 of the side: two of the four at either end, then three.
    assert {int(count) for count in rows} == {2, 3, 4}
    assert {int(count) for count in columns} == {2, 3, 4}
    expected = (2 + 3 + 4 * 9 + 3) / 12  # the mean over the twelve centres of a side
    assert abs(float(rows.double().mean()) - expected) < 0.1


def test_noise_has_its_deviation_on_images_and_tables() -> None:
    torch.manual_seed(0)
    for shape in ((64, 3, 16, 16), (5000, 7)):
        difference = Noise(0.3)(torch.zeros(shape))
        assert float(difference.std()) == pytest.approx(0.3, rel=0.02)
        assert float(difference.mean()) == pytest.approx(0.0, abs=0.01)


def test_mixup_draws_one_line_for_inputs_and_targets() -> None:
    # Each image is filled with its own label, so the mix can be read back from the pixels.
    y = torch.arange(4).repeat(8)
    x = y.float().view(-1, 1, 1, 1).expand(-1, 1, 3, 3).contiguous()
    torch.manual_seed(0)
    mixed, targets = Mixup(4, 1.0)(x, y)
    assert torch.allclose(targets.sum(dim=1), torch.ones(32))
    expected = (targets * torch.arange(4.0)).sum(dim=1)
    assert torch.allclose(mixed[:, 0, 0, 0], expected, atol=1e-5)
    assert len(set(targets.max(dim=1).values.tolist())) > 10, "each sample has a share of its own"


def test_mixup_mixes_the_targets_of_a_regression_and_of_tables() -> None:
    x = torch.rand(16, 5)
    torch.manual_seed(0)
    mixed, values = Mixup(1, 1.0)(x, x.sum(dim=1, keepdim=True))
    assert torch.allclose(mixed.sum(dim=1, keepdim=True), values, atol=1e-5)


def test_mixup_shares_follow_the_beta_distribution() -> None:
    from scipy import stats

    torch.manual_seed(0)
    _, targets = Mixup(2, 0.4)(torch.zeros(4000, 1), torch.arange(4000) % 2)
    mixed = targets[(targets[:, 0] > 0) & (targets[:, 0] < 1)]
    assert stats.kstest(mixed[:, 0].numpy(), stats.beta(0.4, 0.4).cdf).pvalue > 0.001


def test_cutmix_targets_are_the_shares_of_the_pixels() -> None:
    y = torch.arange(4).repeat(16)
    x = y.float().view(-1, 1, 1, 1).expand(-1, 2, 16, 16).contiguous()
    torch.manual_seed(0)
    mixed, targets = CutMix(4, 1.0)(x, y)
    for label in range(4):
        share = (mixed[:, 0] == label).float().mean(dim=(1, 2))
        assert torch.allclose(share, targets[:, label], atol=1e-5)
    assert (targets.max(dim=1).values < 1).sum() > 20
    changed = (mixed != x)[:, 0]
    for mask in changed[changed.any(dim=2).any(dim=1)]:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        window = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert window.all(), "what is replaced is one rectangle"
