"""What `couloir predict` writes beside a map: the image with the map laid over it, and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from couloir.inference.asking import Answered, sample_of
from couloir.inference.class_words import class_number
from couloir.inference.map_words import Wanted
from couloir.palette import coloured, palette
from couloir.task.saliency import Saliency
from couloir.task.segmentation import Segmentation
from couloir.task.task import Task

OVER, FIRST = 0.5, 0.25
"""The share of the map's colour where it is laid over an image; that of the first class, most often the background."""
LEAST = 160
"""Pixels of an overlay's width at least: smaller ones are enlarged, so that there is room for the legend."""
LEGEND_ROW, SQUARE, MARGIN = 18, 10, 6
"""Pixels of a line of the legend, of the square with a class's colour, and of the margin."""
DEEP = 65535
"""The number of 16 bits that stands for 1."""


class MapFiles:
    """Writes what is wanted of each sample.

    Args:
        task: what an answer means.
        wanted: what is written.

    Raises:
        CouloirError: the run does not know the class, or has too many of them.
    """

    def __init__(self, task: Task, wanted: Wanted) -> None:
        self.task, self.wanted = task, wanted
        self.place = (
            None if wanted.probability is None else class_number(wanted.probability, names_of(task), "--probability")
        )

    def __call__(self, answered: Answered, place: int, stem: Path) -> dict[str, str]:
        """Further columns of `answers.csv` for one sample, by name: the files that were written, and what a map says.

        Args:
            answered: the batch.
            place: of the sample in it.
            stem: the path of its files without a suffix.
        """
        answer = sample_of(answered.answer, place)
        pixels = None if answered.pixels is None else answered.pixels[place]
        if isinstance(self.task, Segmentation):
            return self._classes(answer, pixels, stem)
        return self._values(answer, pixels, stem) if isinstance(self.task, Saliency) else {}

    def _classes(self, answer: NDArray[np.float32], pixels: NDArray[np.uint8] | None, stem: Path) -> dict[str, str]:
        classes = answer.argmax(axis=0).astype(np.uint8)
        names, cells = names_of(self.task), {}
        if self.wanted.overlay and pixels is not None:
            picture = laid_over(pixels, classes)
            there = [int(number) for number in np.unique(classes)]
            shown = with_legend(picture, [(names[number], palette()[number]) for number in there])
            cells["overlay"] = _saved(shown, stem, "_overlay")
        if self.wanted.probabilities:
            file = stem.with_name(f"{stem.name}_probabilities.npy")
            np.save(file, answer.astype(np.float16))
            cells["probabilities"] = file.name
        if self.place is not None:
            cells[f"probability({names[self.place]})"] = _saved(_deep(answer[self.place]), stem, "_probability")
        return cells | {f"share({name})": f"{share:.6g}" for name, share in zip(names, shares(answer), strict=True)}

    def _values(self, answer: NDArray[np.float32], pixels: NDArray[np.uint8] | None, stem: Path) -> dict[str, str]:
        assert isinstance(self.task, Saliency)
        visible, cells = self.task.visible(answer), {}
        if self.wanted.overlay and pixels is not None:
            strength = (visible * OVER * 1.6).clip(0, 1)[..., None]  # what is not salient stays as it is
            red = np.array([255, 40, 0], dtype=np.float32)
            cells["overlay"] = _saved(_blended(pixels, red, strength), stem, "_overlay")
        if self.wanted.probabilities:
            file = stem.with_name(f"{stem.name}_values.npy")
            np.save(file, answer[0])
            cells["values"] = file.name
            cells["values16"] = _saved(_deep(visible), stem, "_values16")
        return cells


def shares(answer: NDArray[Any]) -> NDArray[np.float64]:
    """The share of the pixels that each class has, (K,), of probabilities (K, H, W)."""
    found = np.bincount(answer.argmax(axis=0).reshape(-1), minlength=len(answer))
    each: NDArray[np.float64] = found / found.sum()
    return each


def names_of(task: Task) -> list[str]:
    """The names of the classes of a segmentation; their numbers where they have none."""
    count = int(task.num_classes)
    return list(task.classes) if len(task.classes) == count else [str(number) for number in range(count)]


def laid_over(pixels: NDArray[np.uint8], classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, C) under the colours of its classes (H, W); a small one has each pixel several times."""
    strength = np.where(classes == 0, FIRST, OVER).astype(np.float32)[..., None]
    mixed = _blended(pixels, coloured(classes).astype(np.float32), strength)
    factor = -(-LEAST // mixed.shape[1])
    return mixed.repeat(factor, axis=0).repeat(factor, axis=1) if factor > 1 else mixed


def _blended(pixels: NDArray[np.uint8], colours: NDArray[np.float32], strength: Any) -> NDArray[np.uint8]:
    image = pixels if pixels.shape[2] == 3 else np.repeat(pixels[..., :1], 3, axis=2)
    mixed: NDArray[np.uint8] = (image * (1 - strength) + colours * strength).round().astype(np.uint8)
    return mixed


def with_legend(picture: NDArray[np.uint8], entries: Sequence[tuple[str, NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) above the names of the classes that it shows, each with its colour."""
    font = ImageFont.load_default(12)
    width = picture.shape[1]
    places, left, row = [], MARGIN, 0
    for name, _ in entries:
        needed = SQUARE + 4 + int(font.getlength(name)) + 2 * MARGIN
        if left > MARGIN and left + needed > width:
            left, row = MARGIN, row + 1
        places.append((left, row))
        left += needed
    below = Image.new("RGB", (width, (row + 1) * LEGEND_ROW + MARGIN), "white")
    draw = ImageDraw.Draw(below)
    for (name, colour), (left, row) in zip(entries, places, strict=True):
        top = row * LEGEND_ROW + MARGIN
        box = (left, top, left + SQUARE, top + SQUARE)
        draw.rectangle(box, fill=tuple(int(value) for value in colour), outline="grey")
        draw.text((left + SQUARE + 4, top - 2), name, fill="black", font=font)
    return np.concatenate([picture, np.asarray(below)])


def _deep(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Values in [0, 1] as greys of 16 bits."""
    return (values.clip(0, 1) * DEEP).round().astype(np.uint16)


def _saved(pixels: NDArray[Any], stem: Path, ending: str) -> str:
    file = stem.with_name(f"{stem.name}{ending}.png")
    Image.fromarray(pixels).save(file)
    return file.name
