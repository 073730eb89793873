"""Photographs made worse in fifteen ways and five severities.

Hendrycks and Dietterich, 2019, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations:
the kinds and the numbers of ImageNet-C for larger images and of CIFAR-10-C for small ones. It is written from their
description: the draws are others, and what the authors took from OpenCV and ImageMagick is computed here. Frost is a
stand-in, since the authors lay photographs of frost over the image.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.float64]
"""(H, W, C) in [0, 1]."""
SMALL = 64
"""Pixels of the longer side up to which an image is a small one."""
SIDES = {True: 32, False: 224}
"""The side of the authors' images, by whether they are small; lengths in pixels are scaled from it."""
SEVERITIES = (1, 2, 3, 4, 5)
GROUPS = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic", "pixelate", "jpeg"),
}
"""The kinds, as the authors group them."""
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
Five = tuple[Any, Any, Any, Any, Any]
NUMBERS: dict[str, tuple[Five, Five]] = {
    "gaussian_noise": ((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),  # deviation
    "shot_noise": ((500, 250, 100, 75, 50), (60, 25, 12, 5, 3)),  # photons of white
    "impulse_noise": ((0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27)),  # share of the values
    # radius, and the deviation that softens the disc's rim
    "defocus_blur": (
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)), ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
    ),
    # deviation of the blur before and after, furthest neighbour, rounds
    "glass_blur": (
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    ),
    # pixels of the trace, deviation of its weights
    "motion_blur": (((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)), ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))),
    # largest factor, step between two
    "zoom_blur": (
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
    # mean and deviation of the flakes, size, the least that counts, trace, deviation of the trace, share of colour
    "snow": (
        ((0.1, 0.2, 1, 0.6, 8, 3, 0.95), (0.1, 0.2, 1, 0.5, 10, 4, 0.9), (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
         (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85), (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)),
        ((0.1, 0.3, 3, 0.5, 10, 4, 0.8), (0.2, 0.3, 2, 0.5, 12, 4, 0.7), (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
         (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65), (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55)),
    ),
    # share of the image, share of the frost
    "frost": (
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    ),
    # amount, how fast its small clouds fade
    "fog": (
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)), ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
    ),
    "brightness": ((0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)),  # added to the value of HSV
    "contrast": ((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),  # factor around the mean
    # in sides of the image: displacement, deviation of its blur, displacement of three corners
    "elastic": (
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02)),
    ),
    "pixelate": ((0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),  # factor of the side
    "jpeg": ((80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),  # Pillow's quality
}  # fmt: skip
"""The numbers of each kind by severity: of small images, and of larger ones."""


def generator(seed: int, sample: int, kind: str, severity: int) -> Generator:
    """What the draws of one corruption of one sample come from."""
    return np.random.default_rng([seed, sample, KINDS.index(kind), severity])


def corrupted(image: Picture, kind: str, severity: int, draws: Generator) -> Picture:
    """An image made worse, in steps of 1/255.

    Args:
        image: (H, W, C) in [0, 1].
        kind: one of `KINDS`.
        severity: from 1 to 5.
        draws: what is random comes from it.
    """
    small = max(image.shape[:2]) <= SMALL
    numbers = NUMBERS[kind][0 if small else 1][severity - 1]
    unit = min(image.shape[:2]) / SIDES[small]
    made = MAKE[kind](image.astype(np.float64), numbers, unit, draws)
    rounded: Picture = np.round(np.clip(made, 0, 1) * 255) / 255
    return rounded


def gaussian_noise(image: Picture, deviation: float, unit: float, draws: Generator) -> Picture:
    """Normal noise of each value."""
    return image + draws.normal(scale=deviation, size=image.shape)


def shot_noise(image: Picture, photons: float, unit: float, draws: Generator) -> Picture:
    """The noise of counting light."""
    return draws.poisson(image * photons) / photons


def impulse_noise(image: Picture, share: float, unit: float, draws: Generator) -> Picture:
    """Some values are 0 or 1."""
    return np.where(draws.random(image.shape) < share, draws.integers(0, 2, image.shape), image)


def defocus_blur(image: Picture, numbers: tuple[float, float], unit: float, draws: Generator) -> Picture:
    """The mean over a disc, whose radius is not below the authors'."""
    from scipy.ndimage import gaussian_filter

    radius, rim = numbers[0] * max(unit, 1.0), numbers[1]
    reach = math.ceil(radius) + 2
    axis = np.arange(-reach, reach + 1)
    disc = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.float64)
    return _filtered(image, gaussian_filter(disc / disc.sum(), rim, radius=2 if numbers[0] > 8 else 1))


def glass_blur(image: Picture, numbers: tuple[float, int, int], unit: float, draws: Generator) -> Picture:
    """Each pixel takes the place of a neighbour, between two blurs. (The authors swap pixels one after another.)"""
    deviation, furthest, rounds = numbers[0] * unit, max(1, round(numbers[1] * unit)), numbers[2]
    image = _blurred(image, deviation)
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    for _ in range(rounds):
        down, right = draws.integers(-furthest, furthest, (2, height, width))
        image = image[np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1)]
    return _blurred(image, deviation)


def motion_blur(image: Picture, numbers: tuple[float, float], unit: float, draws: Generator) -> Picture:
    """A trace in a direction of up to 45 degrees to the horizontal, which fades."""
    return _filtered(image, trace(numbers[0] * unit, numbers[1] * unit, draws.uniform(-45, 45)))


def zoom_blur(image: Picture, numbers: tuple[float, float], unit: float, draws: Generator) -> Picture:
    """The mean of the image and of its enlargements."""
    factors = np.arange(1, *numbers)
    mean: Picture = (image + sum(zoomed(image, factor) for factor in factors)) / (len(factors) + 1)
    return mean


def snow(image: Picture, numbers: Sequence[float], unit: float, draws: Generator) -> Picture:
    """Traces of bright flakes over a whitened image."""
    mean, deviation, size, least, length, fade, colour = numbers
    flakes = zoomed(draws.normal(mean, deviation, (*image.shape[:2], 1)), max(1.0, size * unit))
    flakes = np.clip(np.where(flakes < least, 0, flakes), 0, 1)
    flakes = np.clip(_filtered(flakes, trace(length * unit, fade * unit, draws.uniform(-135, -45))), 0, 1)
    whitened = np.maximum(image, image.mean(axis=2, keepdims=True) * 1.5 + 0.5)
    snowed: Picture = colour * image + (1 - colour) * whitened + flakes + flakes[::-1, ::-1]
    return snowed


def frost(image: Picture, numbers: tuple[float, float], unit: float, draws: Generator) -> Picture:
    """Bright ridges between patches: a stand-in for the authors' photographs of frost."""
    layers = [1 - np.abs(2 * clouds(image.shape[0], image.shape[1], 1.5, draws) - 1) for _ in range(2)]
    ice = (0.35 * layers[0] + 0.65 * np.maximum(*layers) ** 4)[..., None]
    covered: Picture = numbers[0] * image + numbers[1] * ice
    return covered


def fog(image: Picture, numbers: tuple[float, float], unit: float, draws: Generator) -> Picture:
    """Clouds in front of it; the brightest value stays."""
    amount, decay = numbers
    brightest = float(image.max())
    veil = clouds(image.shape[0], image.shape[1], decay, draws)[..., None]
    veiled: Picture = (image + amount * veil) * (brightest / (brightest + amount))
    return veiled


def brightness(image: Picture, more: float, unit: float, draws: Generator) -> Picture:
    """More of HSV's value: all channels grow by one factor, and black becomes grey."""
    value = image.max(axis=2, keepdims=True)
    lighter: Picture = np.where(value > 0, image / np.maximum(value, 1e-12), 1) * np.minimum(value + more, 1)
    return lighter


def contrast(image: Picture, factor: float, unit: float, draws: Generator) -> Picture:
    """Each channel nearer to its mean."""
    mean = image.mean(axis=(0, 1), keepdims=True)
    nearer: Picture = (image - mean) * factor + mean
    return nearer


def elastic(image: Picture, numbers: tuple[float, float, float], unit: float, draws: Generator) -> Picture:
    """Three corners move, and the pixels between them by smooth amounts."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    side = min(image.shape[:2])
    strength, deviation, corners = (number * side for number in numbers)
    height, width = image.shape[:2]
    middle, arm = np.array([height // 2, width // 2]), side // 3
    ends = middle + arm * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = ends + draws.uniform(-corners, corners, ends.shape)
    back = np.linalg.solve(np.c_[moved, np.ones(3)], ends)  # from where a place has come
    places = np.stack([*np.mgrid[:height, :width].astype(np.float64)])
    for axis in range(2):
        drawn = draws.uniform(-1, 1, (height, width))
        places[axis] += strength * (
            gaussian_filter(drawn, deviation, mode="reflect", truncate=3) if deviation else drawn
        )
    sources = np.einsum("ij,ihw->jhw", back[:2], places) + back[2][:, None, None]
    channels = [map_coordinates(image[..., at], sources, order=1, mode="reflect") for at in range(image.shape[2])]
    return np.stack(channels, axis=2)


def pixelate(image: Picture, factor: float, unit: float, draws: Generator) -> Picture:
    """A smaller image, enlarged again, by the mean and then the value of boxes."""
    height, width = image.shape[:2]
    less = (max(1, int(width * factor)), max(1, int(height * factor)))
    return _channels(
        image, lambda one: one.resize(less, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)
    )


def jpeg(image: Picture, quality: int, unit: float, draws: Generator) -> Picture:
    """What JPEG leaves of it; of other images than grey and colour, of each channel."""
    values = np.round(image * 255).astype(np.uint8)
    if values.shape[2] == 3:
        return _compressed(values, quality)
    return np.stack([_compressed(values[..., at], quality) for at in range(values.shape[2])], axis=2)


MAKE: dict[str, Callable[..., Picture]] = {
    "gaussian_noise": gaussian_noise, "shot_noise": shot_noise, "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur, "glass_blur": glass_blur, "motion_blur": motion_blur, "zoom_blur": zoom_blur,
    "snow": snow, "frost": frost, "fog": fog, "brightness": brightness,
    "contrast": contrast, "elastic": elastic, "pixelate": pixelate, "jpeg": jpeg,
}  # fmt: skip


def trace(length: float, deviation: float, degrees: float) -> NDArray[np.float64]:
    """The weights of a line from the middle of a square on, which fade as half a normal curve; their sum is 1.

    Args:
        length: of the line in pixels.
        deviation: of the curve in pixels.
        degrees: its direction, against the clock from the right.
    """
    reach = max(1, math.ceil(length))
    weights = np.zeros((2 * reach + 3, 2 * reach + 3))
    angle = math.radians(degrees)
    for step in np.arange(0, length + 1e-9, min(1.0, length)):
        y, x = reach + 1 - step * math.sin(angle), reach + 1 + step * math.cos(angle)
        top, left = int(y), int(x)
        for row, share in ((top, top + 1 - y), (top + 1, y - top)):
            for column, part in ((left, left + 1 - x), (left + 1, x - left)):
                weights[row, column] += share * part * math.exp(-(step**2) / (2 * deviation**2))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def clouds(height: int, width: int, decay: float, draws: Generator) -> NDArray[np.float64]:
    """A random landscape in [0, 1]: each halving of the grid adds noise whose size is divided by the square of `decay`.

    The midpoint displacement by which fractal landscapes are drawn, on a grid whose ends meet.
    """
    land, size = np.zeros((1, 1)), 1.0
    while land.shape[0] < max(height, width):
        wide = np.empty((len(land), 2 * len(land)))  # between two points their mean
        wide[:, ::2], wide[:, 1::2] = land, (land + np.roll(land, -1, 1)) / 2
        land = np.empty((wide.shape[1], wide.shape[1]))
        land[::2], land[1::2] = wide, (wide + np.roll(wide, -1, 0)) / 2
        land += draws.uniform(-size, size, land.shape)
        size /= decay**2
    land = land[:height, :width]
    heights: NDArray[np.float64] = (land - land.min()) / max(land.max() - land.min(), 1e-12)
    return heights


def zoomed(image: Picture, factor: float) -> Picture:
    """The middle of an image, enlarged to its size by interpolation."""
    height, width = image.shape[:2]
    left, top = (width - width / factor) / 2, (height - height / factor) / 2
    box = (left, top, width - left, height - top)
    return _channels(image, lambda one: one.resize((width, height), Image.Resampling.BILINEAR, box=box))


def _channels(image: Picture, change: Callable[[Image.Image], Image.Image]) -> Picture:
    """What Pillow makes of each channel."""
    parts = [np.asarray(change(Image.fromarray(image[..., at].astype(np.float32)))) for at in range(image.shape[2])]
    return np.stack(parts, axis=2).astype(np.float64)


def _filtered(image: Picture, weights: NDArray[np.float64]) -> Picture:
    """The image convolved with weights (odd sides), mirrored beyond its rim."""
    from scipy.signal import fftconvolve

    reach = [side // 2 for side in weights.shape]
    padded = np.pad(image, [(reach[0], reach[0]), (reach[1], reach[1]), (0, 0)], mode="symmetric")
    found: Picture = fftconvolve(padded, weights[..., None], mode="valid", axes=(0, 1))
    return found


def _blurred(image: Picture, deviation: float) -> Picture:
    from scipy.ndimage import gaussian_filter

    found: Picture = gaussian_filter(image, (deviation, deviation, 0), mode="nearest")
    return found


def _compressed(values: NDArray[np.uint8], quality: int) -> Picture:
    with io.BytesIO() as stream:
        Image.fromarray(values).save(stream, format="JPEG", quality=quality)
        return np.asarray(Image.open(stream)).astype(np.float64) / 255
