"""What layers see: their maps and their filters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.plates import LEAST, Pixels, cell_for, coloured_filters, numbered, plate, resized, shaded
from couloir.inference.explain.subject import PASSING, Met, Shown, Subject
from couloir.inference.explain.words import FULL, Wanted
from couloir.layer_kinds import BatchNorm
from couloir.locally_connected import LocallyConnected

LAYERS = 3
"""Layers that are shown where nobody names one."""
MAPS, FILTERS = 64, 96
"""Maps and filters of a layer that are shown at most."""
ROWS, CHANNELS = 12, 8
"""Filters over many channels that are shown, and how many of their channels."""
TINY, FEW = 12, 4
"""Up to so many pixels of a side, so few maps or filters are shown with their numbers."""
SIDE, MATRIX = 540, 400
"""Pixels that a plate is wide on the page, and that a matrix of weights is large."""


def spread(subject: Subject, count: int = LAYERS) -> list[Met]:
    """Some layers with maps, from the first to the last one before the scores: each behind its normalisation and its
    activation.

    Raises:
        CouloirError: no layer has maps.
    """
    last = subject.last_maps
    inner = [met for met in subject.mapped if met.kind not in PASSING]
    inner = inner[: inner.index(last) + 1]
    done = [met for met, after in pairwise(inner) if not _follows(subject, met, after)]
    chosen = [*done, inner[-1]]
    places = sorted({round(at * (len(chosen) - 1) / max(1, count - 1)) for at in range(count)})
    return [chosen[place] for place in places]


def _follows(subject: Subject, met: Met, after: Met) -> bool:
    """Whether a layer only normalises or activates what another gives."""
    module = subject.net.get_submodule(after.name)
    acts = type(module).__module__ == "torch.nn.modules.activation" or getattr(module, "elementwise", False)
    return met.shape == after.shape and bool(acts or isinstance(module, BatchNorm))


def map_layers(subject: Subject, wanted: Wanted, count: int = LAYERS) -> list[Met]:
    """The layers that are asked for, or some from the first to the last.

    Raises:
        CouloirError: there is no such layer, or it has no maps.
    """
    chosen = [subject.layer(name) for name in wanted.layers] or spread(subject, count)
    for met in chosen:
        if len(met.shape) != 3:
            raise CouloirError(
                f"The layer {met.name} gives {' x '.join(map(str, met.shape))} numbers, and no maps.",
                next_step=f"--layer {subject.last_maps.name} is the last one with maps",
            )
    return chosen


def check_unit(unit: int | None, met: Met, what: str = "maps") -> None:
    """Whether a layer has a unit of that number.

    Raises:
        CouloirError: it has not.
    """
    if unit is not None and not 0 <= unit < met.shape[0]:
        raise CouloirError(
            f"The layer {met.name} has {met.shape[0]} {what}, with the numbers 0 to {met.shape[0] - 1}, and no {unit}.",
            next_step=f"--unit {met.shape[0] - 1} is the last one",
        )


def feature_maps(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The maps of some layers for each of the first samples."""
    layers = map_layers(subject, wanted)
    for met in layers:
        check_unit(wanted.unit, met)
    x = shown.x[:FULL]
    found = {met.name: subject.outputs(x, met.name) for met in layers} if len(layers) > LAYERS else _together(
        subject, x, layers
    )  # fmt: skip
    exhibits = []
    for sample in range(len(x)):
        panels = _input(subject, x[sample], sample) if any(map(_is_tiny, layers)) else []
        numbers = []
        for met in layers:
            values = found[met.name][sample].float().cpu().numpy()
            panels.append(_maps(met, values, wanted.unit, f"feature_maps_{sample}_{met.name}"))
            empty = int((np.ptp(values, axis=(1, 2)) == 0).sum())
            numbers.append({"layer": met.name, "maps": len(values), "constant": empty,
                            "strongest": int(values.max(axis=(1, 2)).argmax())})  # fmt: skip
        note = (
            "Each map is scaled by itself: black is its smallest value, white its largest. A map that is the same "
            "everywhere is black, and its value stands behind its number."
        ) + first_of(shown)
        title = f"Feature maps: {shown.names[sample]}"
        exhibits.append(Exhibit("feature_maps", title, note, panels, numbers={"layers": numbers}, sample=sample,
                                side=_side(panels)))  # fmt: skip
    return exhibits


def first_of(shown: Shown) -> str:
    """A sentence where a method shows the first samples alone."""
    return f" Of {len(shown)} samples the first {FULL} are shown." if len(shown) > FULL else ""


def _together(subject: Subject, x: Tensor, layers: Sequence[Met]) -> dict[str, Tensor]:
    """What several layers give, of one pass."""
    with torch.no_grad(), subject.kept([met.name for met in layers]) as found:
        subject.net(x)
        return dict(found)


def _is_tiny(met: Met) -> bool:
    return max(met.shape[1:]) <= TINY and met.shape[0] <= FEW


def _side(panels: Sequence[Panel]) -> int:
    """The widest picture's own width: letters that are enlarged are hard to read."""
    return min(SIDE, max(int(panel.picture.shape[1]) for panel in panels))


def _input(subject: Subject, x: Tensor, sample: int) -> list[Panel]:
    """A tiny image as the network takes it, so that the maps beside it can be worked out by hand."""
    values = x.float().cpu().numpy()
    if max(values.shape[1:]) > TINY or len(values) > FEW:
        return []
    told = "the input as the network takes it" + (", standardised" if _standardises(subject) else "")
    return [Panel(f"feature_maps_{sample}_input", told, _with_numbers(values, range(len(values))), values)]


def _standardises(subject: Subject) -> bool:
    zero = torch.zeros_like(subject.empty())
    return bool((subject.standardised(zero) != 0).any() or (subject.standardised(zero + 1) != 1).any())


def _with_numbers(values: np.ndarray, units: Sequence[int], signed: bool = False) -> Pixels:
    """Tiny maps with their numbers; of one map without a label."""
    cell = cell_for(values)
    pictures = [numbered(each, signed, cell) for each in values]
    labels = [""] if len(pictures) == 1 else [str(unit) for unit in units]
    wide = pictures[0].shape[1] > SIDE // 2
    return plate(pictures, labels, 1 if wide else min(2, len(pictures)), max(pictures[0].shape))


def _maps(met: Met, values: np.ndarray, unit: int | None, name: str) -> Panel:
    """The maps of one layer for one sample as a plate."""
    height, width = values.shape[1:]
    units = np.arange(len(values))
    told = f"{met.name} ({met.kind}): {len(values)} maps of {height} x {width}"
    if unit is not None:
        units = np.array([unit])
        told = f"{met.name} ({met.kind}): map {unit} of {len(values)}, {height} x {width}"
    elif len(values) > MAPS:
        units = np.sort(np.argsort(-values.max(axis=(1, 2)), kind="stable")[:MAPS])
        told += f"; those {MAPS} with the largest values"
    if max(height, width) <= TINY and len(units) <= FEW:
        return Panel(name, told, _with_numbers(values[units], [int(each) for each in units]), values)
    flat = np.ptp(values, axis=(1, 2)) == 0
    labels = [f"{each}: {values[each, 0, 0]:.2g}" if flat[each] else str(each) for each in units]
    return Panel(name, told, plate(list(shaded(values[units])), labels, side=MATRIX if unit is not None else 0), values)


class Filters(NamedTuple):
    """The filters of one layer.

    Attributes:
        name: of the layer.
        told: what they are.
        weights: (N, C, H, W), the first channels that they see.
    """

    name: str
    told: str
    weights: np.ndarray


def filters_of(subject: Subject, name: str) -> Filters | None:
    """The filters of a layer: of a convolution, transposed or not; of a fully connected layer that sees the image
    itself, as images; None: it has none.
    """
    module = subject.net.get_submodule(name)
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor):
        return None
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        weights = weight if isinstance(module, nn.Conv2d) or module.groups > 1 else weight.transpose(0, 1)
        kind = "filters" if isinstance(module, nn.Conv2d) else "transposed filters"
        count, channels, height, width = weights.shape
        told = f"{count} {kind} of {height} x {width} over {channels} channel{'s' * (channels > 1)}"
    elif isinstance(module, LocallyConnected):
        weights = weight[:, module.size[0] // 2, module.size[1] // 2]
        count, channels, height, width = weights.shape
        told = f"the filters of {height} x {width} that {count} maps have in the middle: each place has its own"
    elif isinstance(module, nn.Linear) and subject.is_image and _sees_the_image(subject, name):
        shape = subject.empty().shape[1:]
        weights = weight.reshape(len(weight), *shape)
        told = f"the weights of {len(weight)} units over the image's {' x '.join(map(str, shape))} pixels"
    else:
        return None
    return Filters(name, f"{name} ({type(module).__name__}): {told}", weights.detach().float().cpu().numpy())


def _sees_the_image(subject: Subject, name: str) -> bool:
    """Whether a layer takes the pixels themselves, in their order."""
    x = torch.rand(subject.empty().shape, generator=torch.Generator().manual_seed(0)).to(subject.device)
    seen: list[Tensor] = []
    hook = subject.net.get_submodule(name).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        with torch.no_grad():
            subject.net(x)
    finally:
        hook.remove()
    return bool(seen) and seen[0].shape == x.flatten(1).shape and torch.equal(seen[0], x.flatten(1))


def filters(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The filters of some layers; where none are named, of the first that has some."""
    found: list[Filters] = []
    for name in wanted.layers:
        subject.layer(name)
        these = filters_of(subject, name)
        if these is None:
            there = _with_filters(subject)
            near = next((each.name for each in there if each.name.startswith(f"{name}.")), None)
            first = near or (there[0].name if there else "")
            raise CouloirError(
                f"The layer {name} has no filters: it is a {type(subject.net.get_submodule(name)).__name__}.",
                next_step=f"--layer {first} has some" if first else "leave the method out: no layer has some",
            )
        found.append(these)
    if not found:
        found = _with_filters(subject, most=1)
    if not found:
        raise CouloirError(
            "No layer of the network has filters: convolutions have, and fully connected layers that see the image.",
            next_step="--methods gradients needs none",
        )
    panels = []
    for these in found:
        check_unit(wanted.unit, Met(these.name, "", these.weights.shape), "filters")
        panels.append(_filter_panel(these, wanted.unit))
    note = (
        "Mid-grey is a weight of zero; the weight of a filter that is farthest from zero is black or white, or in full "
        "colour."
    )
    numbers = {"layers": [{"layer": each.name, "shape": list(each.weights.shape)} for each in found]}
    return [Exhibit("filters", "Filters", note, panels, numbers=numbers, side=_side(panels))]


def _with_filters(subject: Subject, most: int | None = None) -> list[Filters]:
    """The filters of the first layers that have some."""
    found: list[Filters] = []
    for met in subject.met:
        if most is not None and len(found) == most:
            break
        these = filters_of(subject, met.name)
        found += [] if these is None else [these]
    return found


def _filter_panel(these: Filters, unit: int | None) -> Panel:
    """The filters of one layer as a plate."""
    name, told, weights = these
    units = list(range(len(weights))) if unit is None else [unit]
    channels, height, width = weights.shape[1:]
    file = f"filters_{name}"
    if unit is not None:
        told += f"; filter {unit}"
    if height == width == 1 and channels > 1:
        matrix = shaded(weights[units, :, 0, 0], signed=True)
        told += "; a row is a filter, a column a channel"
        return Panel(file, told, resized(matrix, MATRIX), weights)
    if channels == 1:
        chosen = units[:FILTERS]
        told += f"; the first {FILTERS}" if len(units) > FILTERS else ""
        if max(height, width) <= TINY and len(chosen) <= FEW:
            return Panel(file, told, _with_numbers(weights[chosen, 0], chosen, signed=True), weights)
        pictures = list(shaded(weights[chosen, 0], signed=True))
        return Panel(file, told, plate(pictures, [str(each) for each in chosen]), weights)
    if channels == 3:
        chosen = units[:FILTERS]
        told += f"; the first {FILTERS}" if len(units) > FILTERS else ""
        return Panel(
            file, told, plate(list(coloured_filters(weights[chosen])), [str(each) for each in chosen]), weights
        )
    chosen, first = (units[:ROWS], CHANNELS) if unit is None else (units, MAPS)
    first = min(first, channels)
    told += f"; a row is a filter of the first {len(chosen)}, a column one of its" if unit is None else ";"
    told += f" first {first} channels" if first < channels else f" {channels} channels"
    part = weights[chosen, :first]
    joint = shaded(part.reshape(len(part), first * height, width), signed=True).reshape(part.shape)
    pictures = [joint[row, column] for row in range(len(part)) for column in range(first)]
    labels = [f"{each}, {column}" for each in chosen for column in range(first)] if unit is None else [
        str(column) for column in range(first)
    ]  # fmt: skip
    return Panel(file, told, plate(pictures, labels, first if unit is None else None, LEAST), weights)
