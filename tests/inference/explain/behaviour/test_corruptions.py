"""Pictures that are made worse, against the descriptions of their kinds, and the answers that are counted."""

import colorsys
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.behaviour.corrupted import (
    KINDS,
    MAKE,
    NUMBERS,
    SEVERITIES,
    clouds,
    corrupted,
    generator,
    trace,
    zoomed,
)  # fmt: skip
from couloir.inference.explain.behaviour.corruptions import robustness
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from looked_into import looked_into


def picture(side: int = 32, channels: int = 3) -> np.ndarray:
    """Smooth colours with an edge."""
    rows, columns = np.mgrid[:side, :side] / side
    planes = [0.2 + 0.5 * rows, 0.3 + 0.4 * columns, 0.8 - 0.5 * rows * columns]
    image = np.stack(planes[:channels], axis=2)
    image[side // 4 : side // 2, side // 4 : side // 2] = 0.05
    return image


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("side", "channels"), [(8, 1), (80, 3)])
def test_each_kind_changes_pictures_of_each_size_by_their_number_alone(kind: str, side: int, channels: int) -> None:
    image = picture(side, channels)
    for severity in (1, 5):
        made = corrupted(image, kind, severity, generator(3, 7, kind, severity))
        again = corrupted(image, kind, severity, generator(3, 7, kind, severity))
        assert made.shape == image.shape
        assert made.min() >= 0
        assert made.max() <= 1
        assert np.isfinite(made).all()
        assert np.array_equal(made, again)
    assert np.abs(made - image).mean() > 0.001


def test_noise_has_the_published_size() -> None:
    grey, draws = np.full((200, 200, 3), 0.5), np.random.default_rng(0)
    for at in range(5):
        deviation = NUMBERS["gaussian_noise"][0][at]
        assert (MAKE["gaussian_noise"](grey, deviation, 1, draws) - grey).std() == pytest.approx(deviation, rel=0.02)
        photons = NUMBERS["shot_noise"][1][at]
        assert MAKE["shot_noise"](grey, photons, 1, draws).var() == pytest.approx(0.5 / photons, rel=0.03)
        share = NUMBERS["impulse_noise"][1][at]
        hit = MAKE["impulse_noise"](grey, share, 1, draws)
        assert np.mean(hit != 0.5) == pytest.approx(share, rel=0.05)
        assert set(np.unique(hit)) == {0, 0.5, 1}


def test_blurs_keep_the_brightness_and_a_plain_picture() -> None:
    plain = np.full((48, 48, 3), 0.4)
    for kind in ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic", "pixelate"):
        made = corrupted(plain, kind, 5, np.random.default_rng(1))
        assert np.allclose(made, plain, atol=0.5 / 255 + 1e-6), kind
    weights = trace(10, 3, 30)
    assert weights.sum() == pytest.approx(1)
    rows, columns = np.mgrid[: len(weights), : len(weights)] - len(weights) // 2
    assert np.average(-rows, weights=weights) / np.average(columns, weights=weights) == pytest.approx(np.tan(np.pi / 6))


def test_brightness_adds_to_the_value_of_hsv_as_the_standard_library_has_it() -> None:
    image = picture(9)
    made = MAKE["brightness"](image, 0.2, 1, np.random.default_rng(0))
    for before, after in zip(image.reshape(-1, 3), made.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before)
        assert after == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2)))


def test_contrast_jpeg_and_pixelate_are_what_their_names_say() -> None:
    image = np.round(picture() * 255) / 255
    assert MAKE["contrast"](image, 0.4, 1, None).std() == pytest.approx(
        np.sqrt(0.16 * image.var(axis=(0, 1)).mean() + image.mean(axis=(0, 1)).var())
    )
    with io.BytesIO() as stream:
        Image.fromarray((image * 255).round().astype(np.uint8)).save(stream, "JPEG", quality=40)
        assert np.array_equal(corrupted(image, "jpeg", 5, None) * 255, np.asarray(Image.open(stream)))  # type: ignore[arg-type]
    half = MAKE["pixelate"](image, 0.5, 1, None)
    means = image.reshape(16, 2, 16, 2, 3).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert np.allclose(half, means, atol=1e-6)


def test_a_picture_is_enlarged_around_its_middle_and_clouds_fill_the_whole_range() -> None:
    image = picture(16)
    assert np.allclose(zoomed(image, 1), image, atol=1e-6)
    assert np.allclose(
        zoomed(image, 2)[::15, ::15].mean(axis=(0, 1)), image[4:12:7, 4:12:7].mean(axis=(0, 1)), atol=0.15
    )
    land = clouds(20, 33, 2.0, np.random.default_rng(0))
    assert land.shape == (20, 33)
    assert land.min() == 0
    assert land.max() == 1
    rough = clouds(64, 64, 1.1, np.random.default_rng(0))
    smooth = clouds(64, 64, 3.0, np.random.default_rng(0))
    assert np.abs(np.diff(rough)).mean() > 5 * np.abs(np.diff(smooth)).mean()


def brightness_classifier(fields: dict[str, str]) -> Subject:
    """A network that says class 1 where the mean of the pixels is above a half."""
    linear = nn.Linear(64, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.0] * 64, [1.0] * 64]))
        linear.bias.copy_(torch.tensor([0.0, -32.0]))
    net = nn.Sequential(nn.Flatten(), linear)
    return looked_into(net, 8, fields["y"], mean=0.0, std=1.0, classes=["dark", "light"])


def shown(values: list[float], truth: list[int] | None) -> Shown:
    pixels: Tensor = torch.tensor(values)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    return Shown(pixels, pixels, torch.tensor([int(value > 0.5) for value in values]), ["a", "b", "c"], truth)


def test_answers_are_counted_as_right_or_as_unchanged_whatever_is_known(tmp_path: Path) -> None:
    subject, wanted = brightness_classifier({"x": "image", "y": "label"}), Wanted(("robustness",), tmp_path)
    right, pictures = robustness(subject, shown([0.42, 0.9, 0.1], [0, 0, 0]), wanted)
    assert right.numbers["clean"] == pytest.approx(2 / 3)
    assert right.numbers["counts"] == "right"
    assert right.numbers["shares"]["contrast"] == pytest.approx([2 / 3] * 5)  # a plain picture stays as it is
    assert right.numbers["shares"]["brightness"] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3])
    mean = 1 - np.mean(list(right.numbers["shares"].values()))
    assert right.numbers["mean_corruption_error"] == pytest.approx(mean)
    assert right.numbers["relative_mean_corruption_error"] == pytest.approx(mean - 1 / 3)
    assert len(pictures.panels) == 15
    assert pictures.panels[0].values is not None
    assert pictures.panels[0].values.shape == (len(SEVERITIES), 1, 8, 8)
    unknown = robustness(subject, shown([0.42, 0.9, 0.1], None), wanted)[0]
    assert unknown.numbers["counts"] == "unchanged"
    assert unknown.numbers["clean"] == 1
    assert unknown.numbers["shares"]["brightness"] == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3, 2 / 3])


def test_a_run_that_says_values_is_refused(tmp_path: Path) -> None:
    subject = brightness_classifier({"x": "image", "y": "value"})
    with pytest.raises(CouloirError, match="classes of images"):
        robustness(subject, shown([0.4], None), Wanted(("robustness",), tmp_path))
