"""Samples of a data set as pictures: as the network sees them, and as the augmentation changes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from couloir.artifacts.sheet import SIDE
from couloir.config.fields import of_kind
from couloir.data.samples import Samples, seed_generators
from couloir.data.source import name_in
from couloir.errors import CouloirError
from couloir.inspect.dataset import targets
from couloir.metric.mistakes import frames_beside
from couloir.palette import COLOURS, coloured
from couloir.ragged import part

EACH = 6
"""Samples of a class that are shown."""
CLASSES = 20
"""Classes whose samples are shown."""
AUGMENTED = 6
"""Samples that are shown augmented."""
DRAWS = 5
"""Draws of the augmentation for each of them."""
GLOW = (255, 90, 0)
"""The colour that the largest value of a map has."""


@dataclass(frozen=True)
class Strip:
    """Pictures that stand in a row.

    Attributes:
        title: what they have in common.
        pictures: uint8 (H, W) or (H, W, 3), all of one size.
        told: what each one is.
    """

    title: str
    pictures: list[NDArray[Any]]
    told: list[str]


def samples(data: Samples) -> list[Strip]:
    """Some training samples of each class, as the network sees them, a class in a row."""
    strips = []
    for title, numbers in _by_class(data):
        found = Strip(title, [], [])
        for number in numbers:
            picture = _picture(data, number, None)
            if picture is not None:
                found.pictures.append(picture)
                found.told.append(_told(data, number))
        if found.pictures:
            strips.append(found)
    return strips


def augmented(data: Samples, seed: int) -> list[Strip]:
    """Some training samples before their augmentation and after several draws of it, a sample in a row.

    Args:
        data: with its augmentation.
        seed: what the draws follow from.
    """
    if data.augmentation is None or isinstance(data.augmentation, torch.nn.Identity):
        return []
    groups = [numbers for _, numbers in _by_class(data)]
    chosen = [numbers[turn] for turn in range(EACH) for numbers in groups if turn < len(numbers)][:AUGMENTED]
    strips: list[Strip] = []
    before = [_picture(data, number, None) for number in chosen]
    # As in training, a whole batch at once: some augmentations mix its samples.
    drawn = [_pictures(data, chosen, seed + draw) for draw in range(1, DRAWS + 1)]
    for place, number in enumerate(chosen):
        first = before[place]
        pictures = [each[place] for each in drawn if each is not None]
        if first is not None and pictures:
            told = ["without augmentation", *(f"draw {draw}" for draw in range(1, len(pictures) + 1))]
            strips.append(Strip(_told(data, number), [first, *pictures], told))
    return strips


def _by_class(data: Samples) -> list[tuple[str, list[int]]]:
    """Evenly spaced numbers of training samples, by class where there are classes."""
    split = data.splits["train"]
    if data.kind != "label" or data.target == data.input:
        return [("", _spread(np.arange(len(split.indices)), EACH * 4))]
    labels = split.targets
    groups = []
    for label in np.unique(labels)[:CLASSES].tolist():
        name = data.classes[label] if label < len(data.classes) else str(label)
        groups.append((name, _spread(np.flatnonzero(labels == label), EACH)))
    return groups


def _spread(numbers: NDArray[Any], count: int) -> list[int]:
    chosen: list[int] = numbers[
        np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).astype(int))
    ].tolist()
    return chosen


def _told(data: Samples, number: int) -> str:
    split = data.splits["train"]
    index = int(split.indices[number])
    name = Path(name_in(split.source, index)).name or f"no. {number}"
    if data.kind in ("value", "labels") and data.target != data.input:
        return f"{name}: {targets.name_of(data, split.targets[number])}"
    return name


def _picture(data: Samples, number: int, seed: int | None) -> NDArray[Any] | None:
    """One training sample as a picture; None where its file cannot be decoded."""
    found = _pictures(data, [number], seed)
    return None if found is None else found[0]


def _pictures(data: Samples, numbers: Sequence[int], seed: int | None) -> list[NDArray[Any]] | None:
    try:
        batch = data.seen("train", np.array(numbers), seed)
    except CouloirError:  # it is listed among those that are broken
        return None
    x = batch[data.input].float()
    if data.fields[data.input] == "video":
        x = frames_beside(x)
    mean, std = data.mean or [0.0] * x.shape[1], data.std or [1.0] * x.shape[1]
    x = x * torch.tensor([value or 1.0 for value in std]).view(-1, 1, 1) + torch.tensor(mean).view(-1, 1, 1)
    maps = batch[data.target] if data.kind == "map" and data.target != data.input else None
    if data.degrade is not None and isinstance(maps, Tensor):
        return [as_picture(_beside(image, clean)) for image, clean in zip(x, maps, strict=True)]
    return [as_picture(image, None if maps is None else maps[at]) for at, image in enumerate(x)]


def _beside(image: Tensor, clean: Tensor) -> Tensor:
    """An input (C, h, w), its pixels as squares, on the left of the clean image (C, H, W)."""
    return torch.cat([F.interpolate(image[None], clean.shape[1:], mode="nearest-exact")[0], clean.float()], dim=2)


def as_picture(image: Tensor, laid: Tensor | None = None) -> NDArray[Any]:
    """An image (C, H, W), clipped to [0, 1], as uint8 (H, W) or (H, W, 3), no side longer than a tile of a page.

    Args:
        image: float; of one channel or of three it is shown as it is, of others their mean in grey.
        laid: a map that is laid over it: numbers of classes (H, W), of which 0 is left clear, or values in [0, 1]
            (1, H, W), the larger the more.
    """
    image = image if image.shape[0] in (1, 3) else image.mean(dim=0, keepdim=True)
    pixels = image.clamp(0, 1).mul(255).round().to(torch.uint8)
    if laid is not None:
        pixels = _laid_over(pixels, laid)
    height, width = pixels.shape[-2:]
    if max(height, width) > SIDE:
        scale = SIDE / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        smaller = F.interpolate(pixels[None].float(), size, mode="bilinear", antialias=True)[0]
        pixels = smaller.round().clamp(0, 255).to(torch.uint8)
    planes: NDArray[Any] = pixels.permute(1, 2, 0).numpy()
    return planes[:, :, 0] if planes.shape[2] == 1 else planes


def _laid_over(pixels: Tensor, laid: Tensor) -> Tensor:
    colour = pixels.expand(3, -1, -1).float()
    if laid.is_floating_point():
        colour = colour.mean(dim=0, keepdim=True).expand(3, -1, -1)  # in grey, so that what glows is the map
        share = 0.7 * laid.reshape(-1, *laid.shape[-2:])[:1].clamp(0, 1)
        tint = torch.tensor(GLOW, dtype=torch.float32).view(3, 1, 1)
    else:
        labels = laid.long() if laid.ndim == 2 else laid[0].long()
        share = torch.where(labels > 0, 0.5, 0.0)
        tint = torch.from_numpy(coloured((labels % COLOURS).to(torch.uint8).numpy())).permute(2, 0, 1).float()
    return ((1 - share) * colour + share * tint).round().to(torch.uint8)


def of_batch(data: Any, seed: int) -> tuple[list[Strip], list[Strip]]:
    """The first images of a data module of the user's own, scaled from their least to their greatest value; and some of
    them before their augmentation by the group `augmentation` and after several draws of it.

    Args:
        data: the module as Couloir wraps it.
        seed: what the draws follow from.
    """
    names = of_kind(data.fields, ("image",))
    batch = data.example_batch(EACH * 4) if names else {}
    if not names or not isinstance(batch[names[0]], Tensor) or batch[names[0]].ndim != 4:
        return [], []
    x = batch[names[0]]
    low, high = float(x.min()), float(x.max())

    def shown(images: Tensor) -> list[NDArray[Any]]:
        return [as_picture((image.float() - low) / ((high - low) or 1.0)) for image in images]

    plain = [Strip("", shown(x), [f"no. {at}" for at in range(len(x))])]
    augmentation = data.augmentation
    if augmentation is None or isinstance(augmentation, torch.nn.Identity):
        return plain, []
    few: dict[str, Any] = {name: part(field, torch.arange(min(AUGMENTED, len(x)))) for name, field in batch.items()}
    drawn = []
    for draw in range(1, DRAWS + 1):
        with isolate_rng():
            seed_generators(seed + draw)
            by_field = getattr(augmentation, "by_field", False)
            changed = augmentation(dict(few), data.fields)[names[0]] if by_field else augmentation(few[names[0]])
        drawn.append(shown(changed))
    told = ["without augmentation", *(f"draw {draw}" for draw in range(1, DRAWS + 1))]
    before = shown(few[names[0]])
    return plain, [Strip(f"no. {at}", [first, *(each[at] for each in drawn)], told) for at, first in enumerate(before)]
