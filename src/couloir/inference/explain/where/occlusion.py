"""A square of the mean colour that covers one part of the image after another, and what the network makes of it.

Zeiler and Fergus, 2014, Visualizing and Understanding Convolutional Networks, section 4.2 and figure 7.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import CLIPPED, Picture, enlarged, laid_over, photograph, photograph_in_grey
from couloir.inference.explain.layers.seen import check_unit
from couloir.inference.explain.rectifiers import DECONVNET, backward_rule, rectifies
from couloir.inference.explain.subject import Shown, Subject, fast
from couloir.inference.explain.where.attribution import last_layer
from couloir.inference.explain.where.image_maps import needs_images
from couloir.inference.explain.words import FULL, Wanted
from couloir.palette import palette
from couloir.task.dense import Dense
from couloir.task.segmentation import Segmentation

MOST, FEWER = 169, 36
"""Places of the square at most; where there are more than `FULL` samples."""
TOGETHER = 8
"""Images that pass the network at a time: of SqueezeNet on a CPU eight take three quarters of the time of 32."""
SIDE = 0.2
"""Side of the square, as a share of the shorter side of the image."""
NAMED = 6
"""Classes that the legend names at most; the others share a grey."""
ROW, LETTERS = 20, 24
"""Pixels of a row of the legend, and letters of a name."""


@dataclass(frozen=True)
class Squares:
    """Where the square stands.

    Attributes:
        side: of the square, in pixels.
        tops: rows that it begins at.
        lefts: columns that it begins at.
        size: of the image.
    """

    side: int
    tops: list[int]
    lefts: list[int]
    size: tuple[int, int]

    def covered(self, x: Tensor) -> Tensor:
        """A standardised image (C, H, W) with the square at each place, row by row, (P, C, H, W)."""
        copies = x.repeat(len(self.tops) * len(self.lefts), 1, 1, 1)
        for number, copy in enumerate(copies):
            top, left = self.tops[number // len(self.lefts)], self.lefts[number % len(self.lefts)]
            copy[:, top : top + self.side, left : left + self.side] = 0
        return copies

    def over(self, values: NDArray[Any], nearest: bool = False) -> NDArray[Any]:
        """A value for each place (R, C) at each pixel of the image: between the middles of the squares.

        Args:
            values: the values.
            nearest: take that of the nearest middle, not the linear mean.
        """
        found: NDArray[Any] = values
        for axis, starts in ((0, self.tops), (1, self.lefts)):
            middles = np.asarray(starts) + (self.side - 1) / 2
            at = np.arange(self.size[axis])
            if nearest:
                found = found.take(np.abs(at[:, None] - middles).argmin(axis=1), axis=axis)
            else:
                shares = np.stack([np.interp(at, middles, of_one) for of_one in np.eye(len(starts))], axis=1)
                found = np.moveaxis(np.tensordot(shares, found, axes=(1, axis)), 0, axis)
        return found


def squares_of(size: tuple[int, int], most: int = MOST) -> Squares:
    """Places of a square that are spread evenly over an image, from border to border.

    Args:
        size: height and width of the image.
        most: places at most.
    """
    height, width = size
    side = max(1, round(SIDE * min(height, width)))
    down, along = height - side + 1, width - side + 1
    rows = min(down, max(1, round(math.sqrt(most * height / width))))
    columns = min(along, max(1, most // rows))
    rows = min(down, max(1, most // columns))
    tops = sorted({round(place) for place in np.linspace(0, down - 1, rows)})
    lefts = sorted({round(place) for place in np.linspace(0, along - 1, columns)})
    return Squares(side, tops, lefts, size)


class Occluded(NamedTuple):
    """What one image gives by the place of the square, (R, C) each.

    Attributes:
        activation: the sum of one map of a layer; None: there is no layer with maps.
        answer: the probability of the class; of other answers what `measured` says.
        likeliest: the likeliest class; None: the answer is not one of several.
        whole: activation and answer of the image without a square.
    """

    activation: NDArray[np.float32] | None
    answer: NDArray[np.float32]
    likeliest: NDArray[np.int64] | None
    whole: tuple[float, float]


def occluded(subject: Subject, x: Tensor, target: int, squares: Squares, layer: str = "", unit: int = 0) -> Occluded:
    """Cover a standardised image (C, H, W) at each place.

    Args:
        subject: the network.
        x: the image.
        target: the output that is explained.
        squares: the places.
        layer: whose map is summed; empty: none.
        unit: the number of the map.
    """
    frames = torch.cat([x[None], squares.covered(x)])
    sums, answers, likeliest = [], [], []
    reference: Tensor | None = None
    with torch.no_grad(), subject.kept([layer] if layer else []) as found:
        for part in map(fast, torch.split(frames, TOGETHER)):
            if isinstance(subject.task, Dense):
                maps = subject.task.answer(subject.task.look(part))
                reference = maps[:1] if reference is None else reference
                answers.append(_of_maps(subject, maps, reference, target))
            else:
                scores = subject.as_answers(subject.scores(part))
                answers.append(scores[:, target])
                likeliest.append(scores.argmax(dim=1))
            if layer:  # large images are looked at in windows, a few at once: their maps need a pass over the whole
                maps = subject.outputs(part, layer) if isinstance(subject.task, Dense) else found[layer]
                sums.append(maps[:, unit].flatten(1).sum(dim=1))
    shape = (len(squares.tops), len(squares.lefts))
    answer = torch.cat(answers).cpu().numpy()
    total = torch.cat(sums).cpu().numpy() if sums else None
    best = torch.cat(likeliest).cpu().numpy()[1:].reshape(shape) if subject.chooses else None
    activation = None if total is None else total[1:].reshape(shape)
    whole = (0.0 if total is None else float(total[0]), float(answer[0]))
    return Occluded(activation, answer[1:].reshape(shape), best, whole)


def _of_maps(subject: Subject, maps: Tensor, whole: Tensor, target: int) -> Tensor:
    """What stands for an answer that is a map, (B,): the share of pixels that have the class; of values, how much the
    map changes, as the mean absolute difference to that of the whole image.
    """
    if isinstance(subject.task, Segmentation):
        return (maps.argmax(dim=1) == target).flatten(1).float().mean(dim=1)
    return (maps - whole).abs().flatten(1).mean(dim=1)


def measured(subject: Subject, target: int) -> str:
    """What the answer is, in words."""
    name = subject.name_of(target)
    if isinstance(subject.task, Segmentation):
        return f"share of pixels that are {name}"
    if isinstance(subject.task, Dense):
        return "how much the map changes"
    return f"value of {name}" if subject.data.kind == "value" else f"probability of {name}"


def strongest_map(subject: Subject, x: Tensor, layer: str) -> int:
    """The number of the map with the largest sum for a standardised image (1, C, H, W)."""
    return int(subject.outputs(x, layer)[0].flatten(1).sum(dim=1).argmax())


def projection(subject: Subject, x: Tensor, layer: str, unit: int) -> Tensor:
    """A map's activations projected down to the image by the rules of the deconvnet, (C, H, W): all other maps are
    zero, max pooling remembers where its maximum was, filters are transposed, ReLU passes what is positive.

    Args:
        subject: the network; its activations are ReLU.
        x: a standardised image (1, C, H, W).
        layer: the layer's dotted name.
        unit: the number of the map.
    """
    given = x.detach().clone().requires_grad_()
    with torch.enable_grad(), backward_rule(DECONVNET), subject.kept([layer]) as found:
        subject.scores(given)
    maps = found[layer][:, unit]
    return torch.autograd.grad(maps, given, maps.detach())[0][0]


def occlusion(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The four maps of figure 7, for each sample."""
    needs_images(subject, "Occlusion")
    layer = subject.layer(wanted.layers[0]).name if wanted.layers else ""
    if layer and len(subject.layer(layer).shape) != 3:
        layer = ""  # it has units and no maps
    if not wanted.layers:
        layer = last_layer(subject)
    if layer:
        check_unit(wanted.unit, subject.layer(layer))
    elif wanted.unit is not None:
        raise CouloirError(
            f"For occlusion, --unit {wanted.unit} is the number of a map, and "
            + (f"the layer {wanted.layers[0]} has none." if wanted.layers else "no layer of the network has maps."),
            next_step="leave --unit out",
        )
    squares = squares_of((shown.x.shape[2], shown.x.shape[3]), FEWER if len(shown) > FULL else MOST)
    reason = rectifies(subject) if layer else "The network has no layer with maps."
    return [_one(subject, shown, number, squares, layer, wanted.unit, reason) for number in range(len(shown))]


def _one(
    subject: Subject, shown: Shown, number: int, squares: Squares, layer: str, unit: int | None, reason: str
) -> Exhibit:
    x, pixels, target = shown.x[number], shown.pixels[number], int(shown.target[number])
    chosen = 0
    if layer:
        chosen = strongest_map(subject, x[None], layer) if unit is None else unit
    found = occluded(subject, x, target, squares, layer, chosen)
    many = len(shown) > FULL
    places = len(squares.tops) * len(squares.lefts)
    changes = isinstance(subject.task, Dense) and not isinstance(subject.task, Segmentation)
    note = (
        f"A square of {squares.side} x {squares.side} pixels of the mean colour covers {places} places, one after the "
        "other. Red: with the square there the number falls, blue: it rises (Zeiler and Fergus, 2014, figure 7)."
    )
    if changes:
        note += " Of the network's map, dark red is where the square changes it most."
    exhibit = Exhibit("occlusion", f"Occlusion: {subject.name_of(target)}", note, sample=number)
    if not many:
        name = shown.names[number] if shown.names else f"sample {number}"
        exhibit.panels.append(
            Panel(f"occlusion_{number}_image", name, _with_square(photograph(pixels), pixels, squares))
        )
    if found.activation is not None and not many:
        _add_map(exhibit, f"occlusion_{number}_activation", f"sum of map {chosen} of {layer}", pixels, squares,
                 found.activation, found.whole[0])  # fmt: skip
        if reason:
            exhibit.note += f" The map's projection is left out. {reason}"
        else:
            down = projection(subject, x[None], layer, chosen)
            told = f"map {chosen} of {layer}, projected down by a deconvnet"
            values = down.cpu().numpy()
            exhibit.panels.append(Panel(f"occlusion_{number}_projection", told, _projected(down), values))
    _add_map(exhibit, f"occlusion_{number}_answer", measured(subject, target), pixels, squares, found.answer,
             found.whole[1], changes)  # fmt: skip
    if found.likeliest is not None:
        picture, classes = _likeliest(subject, pixels, squares, found.likeliest)
        told = "the likeliest class by the place of the square"
        exhibit.panels.append(Panel(f"occlusion_{number}_likeliest", told, picture, found.likeliest))
        exhibit.numbers["likeliest"] = classes
    lowest = np.unravel_index(int(found.answer.argmin()), found.answer.shape)
    exhibit.numbers |= {
        "output": subject.name_of(target), "measured": measured(subject, target), "whole": found.whole[1],
        "least": float(found.answer.min()), "most": float(found.answer.max()), "side": squares.side,
        "least_at": [squares.tops[int(lowest[0])], squares.lefts[int(lowest[1])]],
    }  # fmt: skip
    if layer and not many:
        exhibit.numbers |= {"layer": layer, "map": chosen, "activation": found.whole[0]}
    return exhibit


def _add_map(
    exhibit: Exhibit,
    name: str,
    told: str,
    pixels: Tensor,
    squares: Squares,
    values: NDArray[np.float32],
    whole: float,
    changes: bool = False,
) -> None:
    """A map of how much a number falls, or of the number where it is a change; the file has the number itself."""
    shown = squares.over(values if changes else whole - values)
    picture, _ = laid_over(pixels, torch.from_numpy(shown.astype(np.float32)), signed=not changes)
    ends = f"{values.min():.3g} to {values.max():.3g}"
    ends = f"mean absolute difference {ends}" if changes else f"{whole:.3g} without a square, {ends} with it"
    exhibit.panels.append(Panel(name, f"{told}: {ends}", picture, values))


def _with_square(picture: Picture, pixels: Tensor, squares: Squares) -> Picture:
    """The photograph with the outline of the square in its corner, as large as it is."""
    factor = picture.shape[0] // pixels.shape[1]
    outlined, end = picture.copy(), squares.side * factor
    for place, colour in ((0, 255), (1, 0)):
        inner = slice(place, end - place)
        for edge in (place, end - 1 - place):
            outlined[edge, inner] = colour
            outlined[inner, edge] = colour
    return outlined


def _projected(down: Tensor) -> Picture:
    """A projection (C, H, W) as colours around grey."""
    size = down.abs().flatten()
    some = size[size > 0]
    most = float(np.quantile(some.cpu().numpy(), CLIPPED)) if len(some) else 1.0
    return photograph(0.5 + down / (2 * most))


def _likeliest(
    subject: Subject, pixels: Tensor, squares: Squares, likeliest: NDArray[np.int64]
) -> tuple[Picture, dict[str, int]]:
    """The classes in colours over the pale photograph, with a legend; and how many places each has."""
    counts = Counter(likeliest.flatten().tolist()).most_common()
    colours = {label: palette()[1 + place] for place, (label, _) in enumerate(counts[:NAMED])}
    rest = np.array((150, 150, 150), np.uint8)
    over = squares.over(likeliest, nearest=True)
    flat = np.stack([colours.get(label, rest) for label in over.flatten().tolist()]).reshape(*over.shape, 3)
    grey = photograph_in_grey(pixels)[..., None]
    picture = enlarged((0.55 * flat + 0.45 * grey).round().astype(np.uint8))
    entries = [(colours[label], subject.name_of(label)) for label, _ in counts[:NAMED]]
    if len(counts) > NAMED:
        entries.append((rest, f"{len(counts) - NAMED} others"))
    named = {subject.name_of(label): count for label, count in counts}
    return np.concatenate([picture, _legend(entries, picture.shape[1])]), named


def _legend(entries: list[tuple[NDArray[np.uint8], str]], width: int) -> Picture:
    """A row for each class: its colour and its name."""
    image = Image.new("RGB", (width, ROW * len(entries) + 4), (246, 246, 246))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for place, (colour, name) in enumerate(entries):
        top = 4 + place * ROW
        draw.rectangle((4, top, 18, top + 14), fill=tuple(int(value) for value in colour), outline=(90, 90, 90))
        shown = name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"
        draw.text((26, top - 1), shown, fill=(20, 20, 20), font=font)
    return cast(Picture, np.asarray(image))
