"""What a film of learning shows: measured after an epoch as numbers, which takes little time, and drawn of all epochs
at once when the training has ended, so that all pictures have the same axes and the same scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from couloir.artifacts.learned import (
    answers,
    curve_points,
    has_curve,
    has_regions,
    plane_points,
    rows_of,
)
from couloir.artifacts.sample_grid import Pixels
from couloir.artifacts.tested import first_weights
from couloir.artifacts.value_tiles import Block, page_of, signed
from couloir.layer_kinds import Convolution, looking
from couloir.locally_connected import LocallyConnected
from couloir.ragged import in_precision, moved
from couloir.record.film import FEATURES, FILTERS, FIT, REGIONS
from couloir.task.task import Task

POINTS, SIDE = 200, 40
"""Of a curve, and of a side of the plane."""
LAYERS, MAPS, LARGEST = 4, 16, 64
"""Layers whose maps are shown at most, maps of a layer at most, and pixels of a map's longer side at most."""
SMALLEST = 2
"""Pixels of a map's shorter side at least."""
EDGE = 0.995
"""The share of a layer's values that are within the scale of its colours."""
Numbers = dict[str, NDArray[Any]]
SCALE_TOLD = "blue: negative, white: 0, red: positive; one scale for all epochs"


class Shot(Protocol):
    """One kind of picture.

    Attributes:
        kind: the folder that it goes to.
    """

    kind: str

    def measure(self, task: Task) -> Numbers:
        """What the picture is drawn from; nothing of the task or of any random generator is changed."""

    def draw(self, epochs: Sequence[tuple[str, Numbers]]) -> list[Pixels]:
        """The pictures of all epochs, (H, W, 3) each, from their titles and numbers."""


def shots_of(task: Task, data: Any) -> list[Shot]:
    """What there is to film of a task and its data."""
    found: list[Shot] = []
    if getattr(data, "stand_ins", None):  # the network sees features that are computed once, and no samples
        return found
    if has_curve(task, data) and (rows := rows_of(data, ("train", "val"))) is not None:
        found.append(FitShot(data, rows))
    if has_regions(task, data) and (rows := rows_of(data, ("train", "val"))) is not None:
        found.append(RegionsShot(data, rows))
    if data.image_size is not None:
        features = FeaturesShot(task, data)
        found += [features] if features.layers else []
        filters = FiltersShot(data)
        found += [filters] if filters.measure(task) else []
    return found


class FitShot:
    """The fitted curve over training and validation samples."""

    kind = FIT

    def __init__(self, data: Any, rows: Any) -> None:
        self._data, self._rows, self._x = data, rows, curve_points(rows, POINTS)

    def measure(self, task: Task) -> Numbers:
        """The values of the curve, in the data's units."""
        with looking(task.net):
            y = answers(task, self._data, self._x, self._rows.offsets)[:, 0]
        return {"y": y.numpy()}

    def draw(self, epochs: Sequence[tuple[str, Numbers]]) -> list[Pixels]:
        """The axes are those of the samples."""
        from couloir.artifacts.learned_pictures import fit_scene

        scene = fit_scene(self._rows, self._x)
        return [scene.picture(numbers["y"], title) for title, numbers in epochs]


class RegionsShot:
    """The regions of the classes, with training and validation samples."""

    kind = REGIONS

    def __init__(self, data: Any, rows: Any) -> None:
        self._data, self._rows, self._points = data, rows, plane_points(rows, SIDE)

    def measure(self, task: Task) -> Numbers:
        """The probabilities of a grid, (S, S, C), row by row from below."""
        with looking(task.net):
            p = answers(task, self._data, self._points, self._rows.offsets)
        return {"p": p.half().numpy().reshape(SIDE, SIDE, -1)}

    def draw(self, epochs: Sequence[tuple[str, Numbers]]) -> list[Pixels]:
        """The axes are those of the samples."""
        from couloir.artifacts.learned_pictures import regions_scene

        scene = regions_scene(self._rows)
        return [scene.picture(numbers["p"], title) for title, numbers in epochs]


class FeaturesShot:
    """What some convolutions give for one validation sample, before their activation functions."""

    kind = FEATURES

    def __init__(self, task: Task, data: Any) -> None:
        batch = data.seen("val", np.zeros(1, np.int64)) if hasattr(data, "seen") else data.example_batch(1)
        self._batch = {name: field[:1] if isinstance(field, Tensor) else field for name, field in batch.items()}
        self._classes = list(getattr(data, "classes", ()))
        self._input = task.input
        self._sample = _unstandardised(self._batch[task.input][0].float(), data)
        label = self._batch.get(task.target)
        named = isinstance(label, Tensor) and label.ndim == 1 and not label.is_floating_point() and self._classes
        self._label = str(self._classes[int(label[0])]) if named and isinstance(label, Tensor) else ""
        self.layers: list[str] = []
        shown = self._maps(task)
        places = np.linspace(0, len(shown) - 1, min(LAYERS, len(shown))).round().astype(int).tolist()
        self.layers = [list(shown)[place] for place in dict.fromkeys(places)]

    def measure(self, task: Task) -> Numbers:
        """The first maps of each layer, (M, h, w), by the layer's name."""
        return {f"map:{name}": maps.half().numpy() for name, maps in self._maps(task).items()}

    def draw(self, epochs: Sequence[tuple[str, Numbers]]) -> list[Pixels]:
        """Each layer has a scale of its own, the same in all epochs."""
        names = list(dict.fromkeys(name for _, numbers in epochs for name in numbers if name.startswith("map:")))
        edges = {name: _edge([numbers[name] for _, numbers in epochs if name in numbers]) for name in names}
        caption = "a validation sample" + (f" of class {self._label}" if self._label else "")
        drawn = []
        for title, numbers in epochs:
            blocks = [Block(caption, self._sample[None], least=72)]
            for name in names:
                if name in numbers:
                    count, height, width = numbers[name].shape
                    some = "first " * (count == MAPS)
                    told = f"layer {name.removeprefix('map:')}: {some}{count} maps of {height} × {width}"
                    blocks.append(Block(told, signed(numbers[name].astype(np.float32), edges[name]), least=48))
            drawn.append(page_of(title, blocks, SCALE_TOLD))
        return drawn

    def _maps(self, task: Task) -> dict[str, Tensor]:
        """Of the chosen layers, or of all convolutions, the first maps, smaller where they are large."""
        found: dict[str, Tensor] = {}

        def taker(name: str) -> Any:
            def take(_module: nn.Module, _inputs: Any, output: Any) -> None:
                if name not in found and isinstance(output, Tensor) and output.ndim == 4:
                    found[name] = output[0, :MAPS].detach().float().clone()  # the next layer may work in place

            return take

        wanted = set(self.layers)
        layers = [
            (name, module)
            for name, module in task.net.named_modules()
            if isinstance(module, Convolution | LocallyConnected)
        ]
        hooks = [module.register_forward_hook(taker(name)) for name, module in layers if not wanted or name in wanted]
        parameter = next(task.net.parameters())
        batch: Any = {name: moved(field, parameter.device) for name, field in self._batch.items()}
        batch[self._input] = in_precision(batch[self._input], parameter.dtype)
        try:
            with looking(task.net):
                task.outputs(batch)
        finally:
            for hook in hooks:
                hook.remove()
        return {name: _shrunk(maps).cpu() for name, maps in found.items() if min(maps.shape[1:]) >= SMALLEST}


class FiltersShot:
    """The weights of the layer that sees the image first."""

    kind = FILTERS

    def __init__(self, data: Any) -> None:
        self._channels, self._image_size = int(data.channels or 0), data.image_size

    def measure(self, task: Task) -> Numbers:
        """The weights, (O, C, h, w), by the layer's name; nothing where they would be no picture."""
        with looking(task.net):
            name, weight = first_weights(task.net, self._channels, self._image_size)
        return {} if weight is None else {f"map:{name}": weight.numpy()}

    def draw(self, epochs: Sequence[tuple[str, Numbers]]) -> list[Pixels]:
        """One scale for all filters and all epochs; of three channels for red, green and blue."""
        edge = max(_edge([values]) for _, numbers in epochs for values in numbers.values())
        drawn = []
        for title, numbers in epochs:
            blocks = []
            for name, weight in numbers.items():
                shares = np.clip(np.nan_to_num(weight / edge), -1, 1)
                tiles = (shares * 127.5 + 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)
                if tiles.shape[-1] != 3:  # what is no colour is shown by its first channel
                    tiles = np.repeat(tiles[..., :1], 3, axis=-1)
                told = f"layer {name.removeprefix('map:')}: {len(tiles)} filters"
                blocks.append(Block(told, tiles, least=48, numbered=True))
            drawn.append(page_of(title, blocks, "black: negative, grey: 0, white: positive; one scale for all epochs"))
        return drawn


def _edge(parts: Sequence[NDArray[Any]]) -> float:
    """The size that nearly all of some finite values are below: the end of a scale."""
    found = []
    for part in parts:
        sizes = np.abs(part.astype(np.float32)).ravel()
        sizes = sizes[np.isfinite(sizes)]
        if len(sizes):
            found.append(float(np.quantile(sizes, EDGE)))
    return max(found, default=0.0) or 1.0


def _shrunk(maps: Tensor) -> Tensor:
    """Maps (M, h, w), the longer side `LARGEST` at most."""
    factor = LARGEST / max(maps.shape[1:])
    if factor >= 1:
        return maps
    height, width = (max(1, round(side * factor)) for side in maps.shape[1:])
    return F.adaptive_avg_pool2d(maps[None], (height, width))[0]


def _unstandardised(x: Tensor, data: Any) -> NDArray[np.uint8]:
    """A sample as a picture, (h, w, 3)."""
    mean, std = getattr(data, "mean", None), getattr(data, "std", None)
    if mean is not None and std is not None and len(mean) == x.shape[0]:
        shape = (-1, 1, 1)
        x = x * torch.tensor([value or 1.0 for value in std]).view(shape) + torch.tensor(mean).view(shape)
    else:
        low, high = x.min(), x.max()
        x = (x - low) / (high - low).clamp_min(1e-12)
    x = x if x.shape[0] == 3 else x[:1].expand(3, -1, -1)
    factor = 96 / max(x.shape[1:])
    if factor < 1:
        size = [max(1, round(side * factor)) for side in x.shape[1:]]
        x = F.interpolate(x[None], size=size, mode="bilinear", antialias=True)[0]
    pixels: NDArray[np.uint8] = (x.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return pixels
