"""The deconvolutional network: what in an image a map answers to, projected down to the pixels.

One activation of a layer is kept and all others are zero. On the way down each convolution is transposed, maximum
pooling puts a value where it has found it (its switches), and each ReLU keeps what is positive of what comes from above
(Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, section 2.1). All of that is a backward
pass with another rule for ReLU. Where pooling windows overlap, values that come to the same place add up. Batch
normalisation passes values by its scale, average pooling shares them out; what normalises contrast or responses hands
them down as they are, as in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_picture
from couloir.inference.explain.layers.receptive_fields import Box, ReceptiveField, fields_of
from couloir.inference.explain.layers.seen import check_unit, first_of, spread
from couloir.inference.explain.plates import (
    GAP,
    WHITE,
    Pixels,
    boxed,
    coloured_filters,
    plate,
    resized,
    shaded,
)
from couloir.inference.explain.rectifiers import DECONVNET, backward_rule, rectifies
from couloir.inference.explain.subject import Met, Shown, Subject
from couloir.inference.explain.words import FULL, Wanted
from couloir.model.normalisation import LocalContrastNorm

MAPS = 4
"""Maps of a layer that are projected where nobody names one."""
NINE, SPLIT_MAPS = 9, 3
"""Strongest activations of a map over a split, and maps of a layer that are shown with theirs."""
SIDE, SMALL_SIDE = 176, 88
"""Pixels of a picture's longer side, and of one among nine."""
ON_PAGE = 3 * SIDE + 2 * GAP
BOX, GREY = (230, 60, 60), 128
"""The colour of a box, and what stands outside of the image."""
CLIPPED = 0.99
"""The share of a projection's pixels up to which its colours go."""
Values = NDArray[Any]


class _AsItIs(torch.autograd.Function):
    """A value whose backward pass goes to another tensor of its shape as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        """The value, of the shape of `x`."""
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor, None]:
        """What comes from above, for `x`."""
        return above[0], None


class _Normalising(TorchFunctionMode):
    """Local response normalisation hands values down as they are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if getattr(func, "__name__", "") != "local_response_norm":
            return out
        return _AsItIs.apply(args[0] if args else kwargs["input"], out.detach())  # type: ignore[no-untyped-call]


@contextmanager
def _downward(net: nn.Module) -> Iterator[None]:
    """A forward pass within has the backward pass of the deconvolutional network."""

    def handed_down(module: nn.Module, inputs: Any, output: Tensor) -> Any:
        return _AsItIs.apply(inputs[0], output.detach())  # type: ignore[no-untyped-call]

    with ExitStack() as stack:
        for module in net.modules():
            if isinstance(module, LocalContrastNorm):
                stack.callback(module.register_forward_hook(handed_down).remove)
        stack.enter_context(backward_rule(DECONVNET))
        stack.enter_context(_Normalising())
        yield


def project(subject: Subject, x: Tensor, layer: str, places: Sequence[tuple[int, ...]]) -> Tensor:
    """One activation of a layer for each sample, projected down to the pixels.

    Args:
        subject: the network.
        x: standardised images (N, C, H, W).
        layer: its name.
        places: of each sample, where the activation is in what the layer gives: the map, its row and its column.

    Returns:
        (N, C, H, W), as the network takes images: zero is the mean image.
    """
    given = x.detach().clone().requires_grad_()
    with torch.enable_grad(), subject.kept([layer]) as found, _downward(subject.net):
        subject.net(given)
    out = found[layer]
    kept = torch.zeros_like(out)
    for sample, place in enumerate(places):
        kept[(sample, *place)] = out[(sample, *place)].detach()
    (projected,) = torch.autograd.grad(out, given, kept)
    return projected


def strongest_places(values: Tensor, count: int, unit: int | None = None) -> list[tuple[int, ...]]:
    """The strongest activation of each of the strongest maps of one sample, the strongest first.

    Args:
        values: what a layer gives, (C, h, w) or (F,).
        count: how many maps.
        unit: the only map that counts; None: all of them do.
    """
    tops, places = values.flatten(1).max(dim=1) if values.ndim > 1 else (values, torch.zeros(len(values)).long())
    order = torch.argsort(tops, descending=True)[:count].tolist() if unit is None else [unit]
    found: list[tuple[int, ...]] = []
    for each in order:
        within = np.unravel_index(int(places[each]), tuple(values.shape[1:])) if values.ndim > 1 else ()
        found.append((each, *(int(at) for at in within)))
    return found


def _layers(subject: Subject, wanted: Wanted) -> list[Met]:
    """The layers that are asked for, or one in the middle and the last one with maps.

    Raises:
        CouloirError: there is no such layer, or no such map of it.
    """
    layers = [subject.layer(name) for name in wanted.layers] or spread(subject)[1:] or spread(subject)
    for met in layers:
        check_unit(wanted.unit, met, "maps" if len(met.shape) == 3 else "units")
        if len(met.shape) not in (1, 3):
            raise CouloirError(
                f"The layer {met.name} gives {' x '.join(map(str, met.shape))} numbers: neither maps nor units.",
                next_step=f"--layer {subject.last_maps.name} is the last one with maps",
            )
    return layers


def deconvnet(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The strongest maps of some layers for each of the first samples, projected down."""
    if reason := rectifies(subject):
        raise CouloirError(f"The deconvnet cannot project down: {reason}", next_step="--methods strongest needs none")
    layers = _layers(subject, wanted)
    fields = _fields(subject, layers)
    exhibits = []
    for sample in range(min(FULL, len(shown))):
        panels, numbers = [], []
        x, picture = shown.x[sample : sample + 1], as_picture(shown.pixels[sample])
        for met in layers:
            values = subject.outputs(x, met.name)[0]
            places = strongest_places(values, MAPS, wanted.unit)
            down = project(subject, x.expand(len(places), -1, -1, -1), met.name, places).float().cpu().numpy()
            for place, projected in zip(places, down, strict=True):
                activation, box = float(values[place]), _box(fields.get(met.name), place, picture)
                panels.append(
                    Panel(f"deconvnet_{sample}_{met.name}_{place[0]}", _told(met, place, activation),
                          _beside(picture, projected, box), projected)
                )  # fmt: skip
                numbers.append({"layer": met.name, "unit": place[0], "place": list(place[1:]),
                                "activation": activation})  # fmt: skip
        note = (
            "The strongest activation of a map, projected down to the pixels: the image with the box that the unit can "
            "see, what is in the box, and what of it the unit answers to. Mid-grey is zero."
        ) + first_of(shown)
        title = f"Deconvnet: {shown.names[sample]}"
        exhibits.append(Exhibit("deconvnet", title, note, panels, numbers={"maps": numbers}, sample=sample,
                                side=ON_PAGE))  # fmt: skip
    return exhibits


def _told(met: Met, place: tuple[int, ...], activation: float) -> str:
    where = f", row {place[1]}, column {place[2]}" if len(place) == 3 else ""
    return f"{met.name}: {'map' if where else 'unit'} {place[0]}{where}, activation {activation:.4g}"


def _fields(subject: Subject, layers: Sequence[Met]) -> dict[str, ReceptiveField]:
    """The receptive fields of those with maps."""
    return {field.met.name: field for field in fields_of(subject, [met for met in layers if len(met.shape) == 3])}


def _box(field: ReceptiveField | None, place: tuple[int, ...], picture: Pixels) -> Box:
    """The pixels that a unit can see; of a field that is larger than the image, the whole side."""
    height, width = picture.shape[:2]
    whole = (0, height - 1, 0, width - 1)
    if field is None:
        return whole
    top, bottom, left, right = field.box((place[1], place[2]))
    rows = (top, bottom) if bottom - top < height else whole[:2]
    return *rows, *((left, right) if right - left < width else whole[2:])


def _cut(picture: Values, box: Box, fill: float) -> Values:
    """What is in a box, (H, W, ...); one number where it lies outside of the picture."""
    height, width = picture.shape[:2]
    top, bottom, left, right = box
    part = np.full((bottom - top + 1, right - left + 1, *picture.shape[2:]), fill, picture.dtype)
    rows, columns = slice(max(0, top), min(height, bottom + 1)), slice(max(0, left), min(width, right + 1))
    inner = picture[rows, columns]
    part[rows.start - top :, columns.start - left :][: inner.shape[0], : inner.shape[1]] = inner
    return part


def _as_colours(projected: Values, box: Box) -> Pixels:
    """What of a projection (C, H, W) is in a box as a picture, zero as mid-grey; of other numbers of channels than
    three, their sum. The few strongest pixels are cut off, so that the others are seen.
    """
    part = _cut(projected.transpose(1, 2, 0), box, 0.0).transpose(2, 0, 1)
    part = part if len(part) == 3 else part.sum(axis=0, keepdims=True)
    sizes = np.abs(part[part != 0])
    most = float(np.quantile(sizes, CLIPPED)) if sizes.size else 1.0
    part = part.clip(-most, most)
    return coloured_filters(part[None])[0] if len(part) == 3 else shaded(part[0], signed=True)


def _beside(picture: Pixels, projected: np.ndarray, box: Box) -> Pixels:
    """The image with its box, what is in it, and the projection there."""
    factor = max(1, SIDE // max(picture.shape[:2]))
    whole = resized(picture, SIDE)
    scale = factor if factor > 1 else max(whole.shape[:2]) / max(picture.shape[:2])
    edge = (math.floor(box[0] * scale), math.ceil((box[1] + 1) * scale) - 1, math.floor(box[2] * scale),
            math.ceil((box[3] + 1) * scale) - 1)  # fmt: skip
    marked = boxed(boxed(whole, edge, BOX), (edge[0] + 1, edge[1] - 1, edge[2] + 1, edge[3] - 1), BOX)
    parts = [marked, resized(_cut(picture, box, GREY), SIDE), resized(_as_colours(projected, box), SIDE)]
    return _row(parts)


def _row(parts: Sequence[Pixels]) -> Pixels:
    """Pictures beside each other in colour, a gap between two of them."""
    colours = [part if part.ndim == 3 else np.repeat(part[..., None], 3, axis=2) for part in parts]
    height = max(part.shape[0] for part in colours)
    width = sum(part.shape[1] for part in colours) + GAP * (len(colours) - 1)
    sheet = np.full((height, width, 3), WHITE, np.uint8)
    left = 0
    for part in colours:
        sheet[: part.shape[0], left : left + part.shape[1]] = part
        left += part.shape[1] + GAP
    return sheet


@dataclass
class Strongest:
    """The strongest activations of one map so far, at most one of a sample.

    Attributes:
        values: descending.
        places: the map, the row and the column of each.
        samples: their places in the split.
        x: the samples, standardised (N, C, H, W).
    """

    values: list[float]
    places: list[tuple[int, ...]]
    samples: list[int]
    x: Tensor

    def add(self, values: Tensor, unit: int, numbers: Sequence[int], x: Tensor) -> None:
        """Take in what a layer gives for a batch."""
        tops = values[:, unit].flatten(1).max(dim=1) if values.ndim > 2 else None
        top = values[:, unit] if tops is None else tops.values
        order = torch.argsort(top, descending=True, stable=True)[:NINE].tolist()
        if len(self.values) == NINE and (not order or float(top[order[0]]) <= self.values[-1]):
            return
        places = [(unit, *(() if tops is None else map(int, np.unravel_index(int(tops.indices[at]), values.shape[2:]))))
                  for at in order]  # fmt: skip
        joined = [*self.values, *(float(top[at]) for at in order)]
        best = sorted(range(len(joined)), key=lambda at: -joined[at])[:NINE]
        self.values = [joined[at] for at in best]
        self.places = [[*self.places, *places][at] for at in best]
        self.samples = [[*self.samples, *(int(numbers[at]) for at in order)][at] for at in best]
        self.x = torch.cat([self.x, x[order]])[best]


def strongest(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The nine strongest activations of some maps over a split: the patches, and beside them their projections."""
    layers = _layers(subject, wanted)
    chosen = {met.name: _maps_of(subject, shown, met, wanted.unit) for met in layers}
    found = {(name, unit): Strongest([], [], [], shown.x[:0]) for name, units in chosen.items() for unit in units}
    seen = 0
    for x, _, numbers in subject.split(wanted.split, wanted.most or None):
        seen += len(x)
        with torch.no_grad(), subject.kept(list(chosen)) as given:
            subject.net(x)
        for (name, unit), best in found.items():
            best.add(given[name], unit, numbers, x)
    reason = rectifies(subject)
    fields, panels, facts = _fields(subject, layers), [], []
    for (name, unit), best in found.items():
        panels.append(_nine(subject, name, unit, best, fields.get(name), not reason))
        facts.append({"layer": name, "unit": unit, "values": best.values, "samples": best.samples,
                      "places": [list(place[1:]) for place in best.places]})  # fmt: skip
    beside = (
        f"No projections: {reason}" if reason else "beside them what of each the unit answers to, by the deconvnet."
    )
    note = (
        f"Over {seen:,} samples of the {wanted.split} split, one activation of a sample: the pixels that the unit can "
        f"see, the strongest first; {beside}"
    )
    numbers_of_all = {"split": wanted.split, "samples": seen, "maps": facts}
    title = "The strongest activations"
    return [Exhibit("strongest", title, note, panels, numbers=numbers_of_all, side=ON_PAGE)]


def _maps_of(subject: Subject, shown: Shown, met: Met, unit: int | None) -> list[int]:
    """The map that is asked for, or those that are strongest for the shown samples."""
    if unit is not None:
        return [unit]
    values = subject.outputs(shown.x[:FULL], met.name)
    tops = values.flatten(2).amax(dim=2) if values.ndim > 2 else values
    return [int(each) for each in torch.argsort(tops.amax(dim=0), descending=True)[:SPLIT_MAPS]]


def _nine(
    subject: Subject, name: str, unit: int, best: Strongest, field: ReceptiveField | None, projects: bool
) -> Panel:  # fmt: skip
    """The patches of one map, and their projections."""
    pictures = [as_picture(pixels) for pixels in subject.pixels(best.x)]
    boxes = [_box(field, place, picture) for place, picture in zip(best.places, pictures, strict=True)]
    parts = [plate([_cut(picture, box, GREY) for picture, box in zip(pictures, boxes, strict=True)],
                   [""] * len(pictures), 3, SMALL_SIDE)]  # fmt: skip
    values = None
    if projects:
        projected = project(subject, best.x, name, best.places).float().cpu().numpy()
        cut = [_as_colours(each, box) for each, box in zip(projected, boxes, strict=True)]
        parts.append(plate(cut, [""] * len(cut), 3, SMALL_SIDE))
        values = projected
    told = f"{name}: {'unit' if field is None else 'map'} {unit}, {best.values[0]:.4g} to {best.values[-1]:.4g}"
    return Panel(f"strongest_{name}_{unit}", told, _row(parts), values)
