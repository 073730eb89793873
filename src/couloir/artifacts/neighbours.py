"""Made pictures beside the training images that are nearest to them, pixel by pixel: are they new, or copies?

Distances are Euclidean, of pixels in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from couloir.artifacts.sample_grid import Pixels, tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COUNT = 5
"""Training images that are shown beside a made picture."""
SHOWN = 16
"""Made pictures that are shown with theirs."""
IN_A_LINE = 2
"""Made pictures in a line of the picture, each with its neighbours."""
TITLES = ("made", "nearest", "2nd", "3rd", "4th", "5th")
CELL, GAP, WORDS, HEAD, BESIDE, APART = 0.85, 0.06, 0.2, 0.3, 0.1, 0.35
"""Inches of a picture's longer side, of the room between two, of the words below one, of the titles, of what is more
between a made picture and its neighbours, and between the two halves.
"""
DPI = 110


class Nearest(NamedTuple):
    """The nearest of many images to some pictures.

    Attributes:
        distances: (M, K), the least first; infinite where there are fewer than K images.
        numbers: which images they are, in the order in which they came, (M, K); -1 where there is none.
        images: those of the first pictures, (S, K, C, H, W).
    """

    distances: Tensor
    numbers: Tensor
    images: Tensor


def nearest(pictures: Tensor, images: Iterable[Tensor], count: int = COUNT, shown: int = SHOWN) -> Nearest:
    """Look for the nearest images, batch by batch: memory does not grow with their number.

    Args:
        pictures: (M, C, H, W).
        images: batches (B, C, H, W), on the device of the pictures.
        count: K, how many of the nearest are kept.
        shown: S, for how many of the pictures the images themselves are kept.
    """
    asked = pictures.flatten(1).float()
    sizes = asked.square().sum(dim=1, keepdim=True)
    shown = min(shown, len(asked))
    squared = asked.new_full((len(asked), count), math.inf)
    numbers = torch.full((len(asked), count), -1, device=asked.device)
    kept = asked.new_zeros(shown, count, asked.shape[1])
    seen = 0
    for batch in images:
        given = batch.flatten(1).float()
        apart = torch.addmm(sizes + given.square().sum(dim=1), asked, given.T, alpha=-2.0)
        near, places = apart.topk(min(count, len(given)), dim=1, largest=False)
        kept = torch.cat([kept, given[places[:shown]]], dim=1)
        numbers = torch.cat([numbers, seen + places], dim=1)
        squared, order = torch.cat([squared, near], dim=1).topk(count, dim=1, largest=False)
        numbers = numbers.gather(1, order)
        kept = kept.gather(1, order[:shown, :, None].expand(-1, -1, kept.shape[2]))
        seen += len(given)
    distances = squared.clamp_min(0).sqrt()
    # Of what is shown exactly: the difference of two large numbers is not, where a picture is a copy.
    exact = (kept - asked[:shown, None]).square().sum(dim=2).sqrt()
    exact, order = exact.masked_fill(distances[:shown].isinf(), math.inf).sort(dim=1, stable=True)
    distances[:shown] = exact
    numbers[:shown] = numbers[:shown].gather(1, order)
    kept = kept.gather(1, order[:, :, None].expand_as(kept))
    return Nearest(distances, numbers, kept.view(shown, count, *pictures.shape[1:]))


def ratio(made: Tensor, held_out: Tensor) -> float | None:
    """How near made pictures are to the training images, against how near images are that nobody trained on.

    Meehan, Chaudhuri and Dasgupta, 2020, A Non-Parametric Test to Detect Data-Copying in Generative Models, compare
    the same two sets of distances, by their ranks.

    Args:
        made: the distance of each made picture to its nearest training image, (M,).
        held_out: that of each test image, (T,).

    Returns:
        the median of the first over that of the second; None where the test images are training images as well.
    """
    middle = held_out.double().quantile(0.5)
    return float(made.double().quantile(0.5) / middle) if len(made) and len(held_out) and middle > 0 else None


def neighbours_figure(pictures: Tensor, found: Nearest, words: Callable[[int], str]) -> Figure:
    """Made pictures, each with its nearest training images and their distances below them, two in a line.

    Args:
        pictures: the first of those that were asked for, (S, C, H, W) in [0, 1].
        found: of `nearest`.
        words: what stands below a made picture, by its number.
    """
    from matplotlib.figure import Figure

    count = found.images.shape[1]
    made, images = tiles(pictures), tiles(found.images.flatten(0, 1))
    height, width = made.shape[1:3]
    depth, breadth = CELL * height / max(height, width), CELL * width / max(height, width)
    lines = -(-len(made) // IN_A_LINE)
    part = (count + 1) * (breadth + GAP) + BESIDE + APART
    size = (min(IN_A_LINE, len(made)) * part - APART + GAP, HEAD + lines * (depth + WORDS + GAP) + GAP)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()

    def put(picture: Pixels, left: float, top: float, said: str, weight: str = "normal") -> None:
        shown = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        axes.imshow(shown, extent=(left, left + breadth, top + depth, top), aspect="auto")
        axes.text(left + breadth / 2, top + depth + 0.03, said, ha="center", va="top", fontsize=7, weight=weight)

    for number in range(len(made)):
        left = GAP + number % IN_A_LINE * part
        top = HEAD + number // IN_A_LINE * (depth + WORDS + GAP)
        if number < IN_A_LINE:
            for place, title in enumerate(TITLES[: count + 1]):
                middle = left + place * (breadth + GAP) + breadth / 2 + (BESIDE if place else 0)
                axes.text(middle, HEAD * 0.6, title, ha="center", va="center", fontsize=8, weight="bold")
        put(made[number], left, top, words(number), "bold")
        for place in range(count):
            if torch.isfinite(found.distances[number, place]):
                beside = left + (place + 1) * (breadth + GAP) + BESIDE
                put(images[number * count + place], beside, top, f"{float(found.distances[number, place]):.3g}")
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))  # which each image has changed
    return figure


def pairs(found: Nearest, shown: int, known: dict[str, Sequence[str]]) -> dict[str, list[str]]:
    """The columns of `neighbours.csv`.

    Args:
        found: of `nearest`.
        shown: how many of the made pictures.
        known: further columns, by what is known of an image by its number; NumPy indexes them.
    """
    columns: dict[str, list[str]] = {name: [] for name in ("made", "rank", "distance", *known)}
    for made in range(shown):
        for place in range(found.distances.shape[1]):
            if not torch.isfinite(found.distances[made, place]):
                continue
            number = int(found.numbers[made, place])
            columns["made"].append(str(made))
            columns["rank"].append(str(place + 1))
            columns["distance"].append(f"{float(found.distances[made, place]):.6g}")
            for name, values in known.items():
                columns[name].append(str(np.asarray(values)[number]))
    return columns
