"""Digits on photographs: an embedded set with exact masks, boxes and saliency maps, of any number of images.

scikit-learn's handwritten digits are enlarged and pasted on crops of its two photographs. No two splits share a pixel
of a photograph or a digit: training has the left part of both photographs and the first digits, validation the middle
and the next ones, test the right part and the last digits. A sample is a pure function of the seed, its split and its
number, in integers, so that it has the same bytes on every machine, and the first samples stay when there are more.
Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from couloir.config.image_size import ImageSize, size_of
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.samples import Samples

Bytes = NDArray[np.uint8]
COLUMNS = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Each split's part of a photograph's width, and of the list of digits."""
INK = 16
"""The darkest grey of scikit-learn's digits: a pixel of it hides the photograph."""
SIDES = (0.2, 0.5)
"""The least and the largest side of a digit, as shares of the image's shorter side."""
TRIES = 8
"""Places that are tried for a digit; where each of them lies on another digit, it is left out."""
BOX = 5
"""Columns of a box: x0, y0, x1, y1, and its class."""
NO_BOX = -1
"""The class that fills up the boxes of images with fewer digits."""


TARGETS = {
    "masks": ("segmentation", {"image": "image", "mask": "map"}),
    "saliency": ("saliency", {"image": "image", "saliency": "map"}),
    "boxes": (None, {"image": "image", "boxes": "boxes"}),
}
"""The task and the fields of each target."""
DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True)
class Scenes:
    """Images and what is true of them.

    Attributes:
        images: uint8 (N, channels, H, W).
        masks: uint8 (N, H, W); 0 is the background, 1 to 10 the digits 0 to 9.
        saliency: uint8 (N, H, W); 255 is the most salient place of each image.
        boxes: int64 (N, most, 5): x0, y0, x1, y1 in pixels, x1 and y1 just outside, and the digit; the rows of images
            with fewer digits are filled up with the digit -1.
    """

    images: Bytes
    masks: Bytes
    saliency: Bytes
    boxes: NDArray[np.int64]


def digits_on_photographs(
    samples: int,
    target: str,
    by_digit: bool,
    most: int,
    sigma: float,
    val_fraction: float,
    test_fraction: float,
    **keys: Any,
) -> Samples:
    """The set as `Samples`.

    Args:
        samples: of all splits together.
        target: `masks`, `saliency` or `boxes`.
        by_digit: whether each digit is a class; else all are one.
        most: digits on an image, at most.
        sigma: deviation of the blur that makes saliency, in pixels.
        val_fraction: share of the samples that are not for the test.
        test_fraction: share of all samples.
        keys: those of `couloir.data.samples.Samples`.
    """
    from couloir.data.samples import Samples
    from couloir.data.source import ArraySource, Loaded

    test = max(1, round(samples * test_fraction))
    val = max(1, round((samples - test) * val_fraction))

    def source(split: str, count: int) -> ArraySource:
        made = scenes(range(count), split, keys["image_size"], keys["channels"], keys["seed"], most, sigma)
        if not by_digit:
            np.minimum(made.masks, 1, out=made.masks)
            np.minimum(made.boxes[:, :, -1], 0, out=made.boxes[:, :, -1])
        if target == "boxes":
            return ArraySource(made.images, made.boxes)
        plane = made.masks if target == "masks" else made.saliency
        return ArraySource(np.concatenate([made.images, plane[:, None]], axis=1), np.arange(count))

    def load() -> Loaded:
        names = class_names(target, by_digit)
        return Loaded(source("train", samples - test - val), source("val", val), source("test", test), names)

    maps = {"masks": "classes", "saliency": "values"}.get(target)
    return Samples(load, planes=0 if maps is None else 1, maps=maps, **keys)


def class_names(target: str, by_digit: bool) -> list[str]:
    """The classes, in the order of their labels; none of saliency."""
    if target == "saliency":
        return []
    names = list(DIGITS) if by_digit else ["digit"]
    return ["background", *names] if target == "masks" else names


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What the key `target` decides.

    Raises:
        CouloirError: another number of classes is stated.
    """
    kind, by_digit, stated = str(keys.get("target")), bool(keys.get("by_digit")), keys.get("num_classes")
    task, fields = TARGETS.get(kind, TARGETS["masks"])  # of another word the check of the keys says so
    names = class_names(kind, by_digit)
    count = len(names) or 1
    if stated is not None and stated != count:
        raise CouloirError(
            f"data.target={kind} has {count} class{'es' * (count != 1)} here, not {stated}.",
            next_step="leave data.num_classes out; data.by_digit=false makes all digits one class",
        )
    return {"task": task, "fields": dict(fields), "num_classes": count, "classes": names}


def scenes(
    numbers: Sequence[int], split: str, image_size: ImageSize, channels: int, seed: int, most: int, sigma: float
) -> Scenes:
    """Some samples of a split.

    Args:
        numbers: of the samples, from 0.
        split: `train`, `val` or `test`.
        image_size: pixels of a side, or height and width.
        channels: 3 or 1.
        seed: what they follow from, with the split and the number.
        most: at most so many digits on an image; at least one.
        sigma: deviation of the blur that makes saliency of the digits' pixels, in pixels.
    """
    size = size_of(image_size)
    views, digits, labels = _parts(split, size)
    images = np.empty((len(numbers), *size, 3), np.uint8)
    masks = np.zeros((len(numbers), *size), np.uint8)
    boxes = np.zeros((len(numbers), most, BOX), np.int64)
    boxes[:, :, -1] = NO_BOX
    for place, number in enumerate(numbers):
        rng = np.random.default_rng([seed, list(COLUMNS).index(split), number])
        images[place] = _crop(views, size, rng)
        _paste(images[place], masks[place], boxes[place], digits, labels, rng)
    if channels == 1:
        images = (images @ np.array([299, 587, 114]) // 1000).astype(np.uint8)[..., None]
    return Scenes(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), masks, blurred(masks > 0, sigma), boxes)


@lru_cache(maxsize=4)
def _parts(split: str, size: tuple[int, int]) -> tuple[list[Bytes], Bytes, NDArray[np.int64]]:
    """What belongs to a split: its parts of the photographs, each at several scales; its digits, and which they are."""
    from sklearn.datasets import load_digits, load_sample_images

    start, end = COLUMNS[split]
    views = []
    for photograph in load_sample_images().images:
        width = photograph.shape[1]
        part = photograph[:, round(start * width) : round(end * width)]
        for shrinking in (1, 2, 3):
            height, width = part.shape[0] // shrinking, part.shape[1] // shrinking
            if shrinking == 1 or (height >= size[0] and width >= size[1]):
                cells = part[: height * shrinking, : width * shrinking].astype(np.int64)
                cells = cells.reshape(height, shrinking, width, shrinking, 3).sum(axis=(1, 3)) // shrinking**2
                views.append(_at_least(cells.astype(np.uint8), size))
    bunch = load_digits()
    chosen = slice(round(start * len(bunch.images)), round(end * len(bunch.images)))
    return views, bunch.images[chosen].astype(np.uint8), bunch.target[chosen].astype(np.int64)


def _at_least(view: Bytes, size: tuple[int, int]) -> Bytes:
    """A photograph (H, W, 3), mirrored at its borders until it covers a size."""
    missing = [max(0, side - there) for side, there in zip(size, view.shape[:2], strict=True)]
    return np.pad(view, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")


def _crop(views: list[Bytes], size: tuple[int, int], rng: np.random.Generator) -> Bytes:
    view = views[rng.integers(len(views))]
    top, left = rng.integers(view.shape[0] - size[0] + 1), rng.integers(view.shape[1] - size[1] + 1)
    crop = view[top : top + size[0], left : left + size[1]]
    return crop[:, ::-1] if rng.integers(2) else crop


def _paste(
    image: Bytes,
    mask: Bytes,
    boxes: NDArray[np.int64],
    digits: Bytes,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:
    """Put digits on an image (H, W, 3), and write down where in its mask (H, W) and its boxes (most, 5)."""
    height, width = mask.shape
    shorter = min(height, width)
    low, high = max(8, math.ceil(SIDES[0] * shorter)), max(8, int(SIDES[1] * shorter))
    found = 0
    for _ in range(rng.integers(1, len(boxes) + 1)):
        number, side = rng.integers(len(digits)), int(rng.integers(low, high + 1))
        colour = rng.integers(96, size=3)
        ink = enlarged(digits[number], side)
        for top, left in rng.integers([height - side + 1, width - side + 1], size=(TRIES, 2)):
            place = (slice(top, top + side), slice(left, left + side))
            if not mask[place].any():
                break
        else:
            continue
        below = image[place].astype(np.int64)
        # Dark digits where the photograph is bright, and bright ones where it is dark: each can be seen.
        colour = colour if below.mean() >= 128 else 255 - colour
        whole = INK * (2 * side) ** 2
        image[place] = (below * (whole - ink[..., None]) + colour * ink[..., None]) // whole
        inside = 2 * ink >= whole
        mask[place][inside] = labels[number] + 1
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        corners = left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1
        boxes[found] = *corners, labels[number]
        found += 1


def enlarged(digit: Bytes, side: int) -> NDArray[np.int64]:
    """A digit's ink (8, 8) at another size, (side, side): bilinear, times (2 side)^2, so that it is exact.

    Args:
        digit: 0 to 16.
        side: at least 8.
    """
    across = _weights(digit.shape[0], side)
    return across @ digit.astype(np.int64) @ across.T


@lru_cache(maxsize=256)
def _weights(old: int, new: int) -> NDArray[np.int64]:
    """What each of `old` pixels counts in each of `new` ones, times 2 new: (new, old)."""
    # The middle of pixel i lies at (2 i + 1) old / (2 new) - 1/2 of the old pixels, times 2 new:
    places = np.clip((2 * np.arange(new) + 1) * old - new, 0, (old - 1) * 2 * new)
    first = np.minimum(places // (2 * new), old - 2)
    weights = np.zeros((new, old), np.int64)
    rows = np.arange(new)
    weights[rows, first + 1] = places - first * 2 * new
    weights[rows, first] = 2 * new - weights[rows, first + 1]
    return weights


def blurred(there: NDArray[np.bool_], sigma: float) -> Bytes:
    """A Gaussian blur of marked pixels, each image's maximum at 255.

    Args:
        there: (N, H, W); nothing lies outside of it.
        sigma: deviation in pixels.

    Returns:
        uint8 (N, H, W); zeros where an image has no marked pixel.
    """
    rows, columns = (_gaussian(side, sigma) for side in there.shape[1:])
    values = (
        rows @ there.astype(np.float64) @ columns
    )  # whole numbers below 2^53: exact in whatever order they are added
    most = np.maximum(values.max(axis=(1, 2), keepdims=True), 1)
    blurs: Bytes = ((2 * 255 * values + most) // (2 * most)).astype(np.uint8)
    return blurs


@lru_cache(maxsize=16)
def _gaussian(side: int, sigma: float) -> NDArray[np.float64]:
    """What each pixel of a line counts in the blur of each other: whole numbers, symmetric, (side, side)."""
    apart = np.arange(side)[:, None] - np.arange(side)
    counts: NDArray[np.float64] = np.rint(4096 * np.exp(-0.5 * np.square(apart / sigma)))
    return counts
