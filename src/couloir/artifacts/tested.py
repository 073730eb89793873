"""What a run leaves to be looked at beside its numbers: its confusions, its worst mistakes or maps, the filters of its
first layer, its layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from couloir.artifacts.canvas import legible
from couloir.artifacts.forecast_exhibits import ForecastsSeen, forecasts_seen
from couloir.artifacts.labelled_tiles import GREY, RED, Word, labelled_tiles, shown_channels
from couloir.artifacts.layer_table import as_dict, layers_of
from couloir.artifacts.map_pictures import TITLES, maps_figure, maps_png
from couloir.artifacts.prediction_table import ORIGIN_FILE, origin
from couloir.config.given import given_by
from couloir.config.image_size import ImageSize, sample_shape
from couloir.layer_kinds import Weighted
from couloir.metric.mistakes import Mistakes
from couloir.metric.worst_maps import WorstMaps
from couloir.record.files import write_atomically
from couloir.record.folder import RunFolder
from couloir.record.tested import (
    Confusion,
    Grid,
    write_confusion,
    write_layers,
    write_maps,
    write_mistakes,
    write_pictures,
)
from couloir.task.task import Task

MISTAKES_IN_A_ROW = 10
FILTERS_IN_A_ROW = 16
MISTAKE_SIDE, FILTER_SIDE = 84, 48
"""Pixels of a tile's longer side in the picture at least."""
FILTERS = 128
"""Filters that are shown at most."""
SMALLEST = 2
"""Pixels of a filter's side from which on there is something to see."""


class Tested(NamedTuple):
    """What a test has seen; what the task does not look at is None.

    Attributes:
        matrix: the confusion matrix (C, C), of samples, or of pixels.
        mistakes: of a classification, the worst mistakes.
        maps: of a task with maps, the images whose maps are worst.
        shown_as: what these maps hold, a word of `couloir.artifacts.map_pictures`.
        forecasts: of a forecast, its errors by step and its worst windows.
    """

    matrix: Tensor | None
    mistakes: Mistakes | None
    maps: WorstMaps | None = None
    shown_as: str = ""
    forecasts: ForecastsSeen | None = None


def tested(module: Task, data: Any) -> Tested | None:
    """What the test split of the data has shown, if the task looks at it; all processes of a run must ask for it."""
    if (forecasts := forecasts_seen(module.seen)) is not None:
        return Tested(None, None, forecasts=forecasts)
    found = {name: module.seen[name].compute() for name in ("confusion", "mistakes", "maps") if name in module.seen}
    matrix, mistakes, maps = (found.get(name) for name in ("confusion", "mistakes", "maps"))
    kinds = (matrix, Tensor), (mistakes, Mistakes), (maps, WorstMaps)
    if all(value is None for value, _ in kinds) or any(
        not isinstance(value, kind) for value, kind in kinds if value is not None
    ):
        return None
    if (known := origin(data)) is not None and known[0] == ORIGIN_FILE:
        if maps is not None:
            maps = maps._replace(files=known[1](np.array(maps.position, np.int64)))
        if mistakes is not None and mistakes.position is not None:
            mistakes = mistakes._replace(files=known[1](np.array(mistakes.position, np.int64)))
    if mistakes is not None and mistakes.position is not None and getattr(data, "vocabulary", None) is not None:
        mistakes = mistakes._replace(texts=data.texts("test", np.array(mistakes.position, np.int64)))
    return Tested(matrix, mistakes, maps, module.shown_as)


def write_exhibits(
    cfg: DictConfig, net: nn.Module, seen: Tested | None, classes: list[str], folder: RunFolder,
    further: Mapping[str, Grid] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Write `confusion.csv`, `mistakes.csv`, `maps.csv`, `layers.json` and the pictures that there are.

    `mistakes.png` and `filters.png` have enlarged tiles with words below them; `pictures.json` says how many tiles a
    row has (`columns`), their number (`count`) and where they stand (`tiles`: `size`, width and height; `first`, where
    the first begins; `pitch`, from one to the next; `scale`, how much larger than its own size one is drawn). Of
    `maps.png` it says how many pictures a row has, the size of the largest (`tile`), and their number.

    Args:
        cfg: the run's configuration.
        net: its network, with the weights that were tested.
        seen: what the test has seen.
        classes: the classes' names.
        folder: the run's folder.
        further: what `pictures.json` says of pictures that are drawn already.
    """
    pictures: dict[str, Grid] = dict(further)
    if seen is not None and seen.matrix is not None:
        write_confusion(folder, Confusion(classes, seen.matrix.tolist()))
    if seen is not None and seen.mistakes is not None:
        _write_mistakes(seen.mistakes, classes, folder)
        images = seen.mistakes.images
        if images is not None and len(images):
            pictures["mistakes"] = _draw_mistakes(seen.mistakes, classes, folder)
    if seen is not None and seen.maps is not None and seen.maps.planes:
        write_maps(folder, seen.maps.position, seen.maps.files, seen.maps.numbers)
        pictures["maps"] = _write_maps(seen.maps, seen.shown_as, classes, folder)
    layer, filters = first_filters(net, int(cfg.data.channels or 0), cfg.data.image_size)
    if filters is not None:
        pictures["filters"] = _draw_filters(layer, filters, folder)
    write_pictures(folder, pictures)
    with suppress(RuntimeError, ValueError):  # where a single sample cannot pass through the network
        write_layers(folder, as_dict(layers_of(cfg, net)[0], net, given_by(cfg.data)))


def _write_maps(worst: WorstMaps, kind: str, classes: list[str], folder: RunFolder) -> Grid:
    """Draw `maps.png`, and return what `pictures.json` says of it."""
    draw_maps(worst, kind, classes, folder.path / "maps.png")
    height, width = (max(planes.shape[axis] for planes in worst.planes) for axis in (1, 2))
    return Grid(len(TITLES[kind]), (width, height), len(TITLES[kind]) * len(worst.planes))


def draw_maps(worst: WorstMaps, kind: str, classes: list[str], file: Path) -> None:
    """Draw the worst maps into a file."""
    write_atomically(file, maps_png(maps_figure(worst, kind, classes)))


def _write_mistakes(mistakes: Mistakes, classes: list[str], folder: RunFolder) -> None:
    rows: list[tuple[Any, ...]] = []
    for place, (label, prediction) in enumerate(zip(mistakes.label, mistakes.prediction, strict=True)):
        position = "" if mistakes.position is None else mistakes.position[place]
        numbers = (f"{column[place]:.6g}" for column in (mistakes.confidence, mistakes.label_confidence))
        rows.append((place, position, classes[label], classes[prediction], *numbers))
    write_mistakes(folder, rows, mistakes.files, mistakes.texts)


def _draw_mistakes(mistakes: Mistakes, classes: list[str], folder: RunFolder) -> Grid:
    """Draw `mistakes.png`, and return what `pictures.json` says of it."""
    classes = legible(classes)
    words = [
        (Word(classes[label]), Word(f"said {classes[said]}", RED), Word(f"{confidence:.1%}", GREY))
        for label, said, confidence in zip(mistakes.label, mistakes.prediction, mistakes.confidence, strict=True)
    ]
    heading = "The true class, what the network said, and the probability that it gave to that"
    tiles = shown_channels(mistakes.images)
    picture, grid = labelled_tiles(tiles, words, MISTAKES_IN_A_ROW, MISTAKE_SIDE, heading)
    write_atomically(folder.path / "mistakes.png", picture)
    return grid


def _draw_filters(layer: str, filters: Tensor, folder: RunFolder) -> Grid:
    """Draw `filters.png`, and return what `pictures.json` says of it."""
    count, _, height, width = filters.shape
    words = [(Word(str(number + 1)),) for number in range(count)]
    heading = f"{f'layer {layer}' if layer else 'first layer'}: {count} filters of {height} × {width}"
    picture, grid = labelled_tiles(
        shown_channels(filters.numpy()), words, FILTERS_IN_A_ROW, FILTER_SIDE, heading, layer
    )
    write_atomically(folder.path / "filters.png", picture)
    return grid


def first_filters(net: nn.Module, channels: int, image_size: ImageSize | None) -> tuple[str, Tensor | None]:
    """The name of the layer that sees the image first and its filters, each scaled to the full range of uint8.

    Args:
        net: its first layer with weights in the order of definition is that layer.
        channels: channels of the images.
        image_size: of the images; None for tables.

    Returns:
        the filters, (O, C, h, w), at most `FILTERS`; None where they would be no picture.
    """
    name, weight = first_weights(net, channels, image_size)
    if weight is None:
        return name, None
    low, high = weight.flatten(1).amin(1).view(-1, 1, 1, 1), weight.flatten(1).amax(1).view(-1, 1, 1, 1)
    return name, ((weight - low) / (high - low).clamp_min(1e-12) * 255).round().to(torch.uint8)


def first_weights(net: nn.Module, channels: int, image_size: ImageSize | None) -> tuple[str, Tensor | None]:
    """The same, but the weights as they are, in float32 on the CPU, copied."""
    found = ((name, module) for name, module in net.named_modules() if isinstance(module, Weighted))
    name, layer = next(found, ("", None))
    if layer is None or image_size is None:
        return name, None
    weight = layer.weight.detach()[:FILTERS].float().cpu().clone()
    if isinstance(layer, nn.Linear):
        shape = sample_shape(channels, image_size)
        if weight.shape[1] != math.prod(shape):
            return name, None
        weight = weight.view(-1, *shape)
    return name, weight if weight.dim() == 4 and min(weight.shape[2:]) >= SMALLEST else None
