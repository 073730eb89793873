"""How a network behaves when its picture moves: whether a layer's maps move along, and whether the answer stays.

A layer f is equivariant to a transformation g where f(g(x)) = g(f(x)), and the answer is invariant where
f(g(x)) = f(x). Lenc and Vedaldi, 2015, Understanding Image Representations by Measuring Their Equivariance and
Equivalence. Pictures are shifted in a circle, as in Zhang, 2019, Making Convolutional Networks Shift-Invariant Again,
section 4: nothing enters or leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.artifacts.page import Cell, Chart, label, table
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, in_bytes
from couloir.inference.explain.subject import BATCH, PASSING, Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.metric.precision import WIDE

MOST = 32
"""Samples of a split that are moved at most."""
LAYERS = 5
"""Layers that are shown where none is named, spread over the network."""
FLAT = (*PASSING, "Flatten")
"""Layers that compute nothing, and are not shown where none is named."""
LONGER = 960
"""Pixels that an image is made longer by, to see how far apart a layer's units are: a multiple of most strides."""
VALUES = 1 << 17
"""Values of a layer, of one sample, that are compared at most: of larger ones some maps are."""
PICTURE = 96
"""Pixels of a moved picture's longer side, at least."""
WIDTH = 110
"""Pixels that it is wide on the page."""


class Move(NamedTuple):
    """One kind of transformation.

    Attributes:
        title: of its chart.
        axis: what its strength is.
        strengths: those that are tried, in order.
        told: what becomes of the picture.
    """

    title: str
    axis: str
    strengths: tuple[float, ...]
    told: str


MOVES = {
    "shift": Move("shift", "pixels to the right", (), "what leaves on the right comes in again on the left"),
    "scale": Move(
        "scale",
        "factor of the size",
        (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0),
        "what is missing beside it is its mirror image",
    ),
    "rotation": Move(
        "rotation", "degrees", (0, 5, 15, 30, 60, 90, 180), "what is missing beside it is its mirror image"
    ),
    "mirror": Move("mirror", "which sides change places", (0, 1), "two sides change places"),
    "brightness": Move(
        "brightness",
        "factor of all pixels",
        (0.25, 0.5, 0.75, 1.0, 1.5, 2.0),
        "what gets brighter than white stays white",
    ),
}
"""The transformations; the shifts follow from the image's width."""
SIDES = ("left and right", "top and bottom")
"""The two mirrors, by their strength."""


def shifts(width: int) -> tuple[float, ...]:
    """The shifts that are tried of an image, in pixels: single ones, and up to a quarter of its width."""
    quarter = max(1, width // 4)
    return tuple(sorted({float(step) for step in (0, 1, 2, 3, 4, 8, 16, quarter) if step <= quarter}))


def strengths(kind: str, width: int) -> tuple[float, ...]:
    """The strengths of a transformation that are tried of an image."""
    return shifts(width) if kind == "shift" else MOVES[kind].strengths


def moved(pixels: Tensor, kind: str, strength: float) -> Tensor:
    """Images after a transformation.

    Args:
        pixels: in [0, 1], (N, C, H, W).
        kind: a key of `MOVES`.
        strength: pixels to the right, a factor, degrees against the clock, or which mirror.
    """
    if kind == "brightness":
        return (pixels * strength).clamp(0, 1)
    if kind == "shift":
        return torch.roll(pixels, round(strength), dims=3)
    if kind == "mirror":
        return pixels.flip(2 if strength else 3)
    return _sampled(pixels, _sources(kind, strength, pixels, (1.0, 1.0)), "reflection")


def along(maps: Tensor, kind: str, strength: float, jumps: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """A layer's maps after the same transformation, and where they can be compared.

    Maps are taken to be centred on the image, as symmetric padding leaves them. A shift that is no multiple of the
    distance between two units is interpolated. Outputs that are no maps have no place, and stay as they are.

    Args:
        maps: (N, C, h, w), or other outputs (N, ...).
        kind: a key of `MOVES`.
        strength: as of `moved`, in the image's pixels.
        jumps: pixels of the image from one unit to the next, downwards and to the right.

    Returns:
        the moved maps, and 1 where what they show was inside of the maps before, else 0: (h, w), of others (1,).
    """
    if maps.ndim != 4 or max(maps.shape[2:]) == 1 or kind == "brightness":
        return maps, torch.ones(maps.shape[2:] if maps.ndim == 4 else (1,), device=maps.device)
    inside = torch.ones(maps.shape[2:], device=maps.device)
    if kind == "mirror":
        return maps.flip(2 if strength else 3), inside
    steps = strength / jumps[1]
    if kind == "shift" and steps == round(steps):  # to the bit
        inside[:, : round(steps)] = 0
        return torch.roll(maps, round(steps), dims=3), inside
    sources = _sources(kind, strength, maps, jumps)
    rim = torch.tensor([maps.shape[3] - 1, maps.shape[2] - 1], device=maps.device) / 2
    return _sampled(maps, sources, "border"), (sources.abs() <= rim + 1e-6).all(dim=-1).float()


def _sources(kind: str, strength: float, maps: Tensor, jumps: tuple[float, float]) -> Tensor:
    """Where each unit of moved maps comes from: (h, w, 2), x before y, counted in units from the centre."""
    height, width = maps.shape[2:]
    y = (torch.arange(height, device=maps.device, dtype=torch.float64) - (height - 1) / 2) * jumps[0]
    x = (torch.arange(width, device=maps.device, dtype=torch.float64) - (width - 1) / 2) * jumps[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    if kind == "shift":
        x = x - strength
    elif kind == "scale":
        y, x = y / strength, x / strength
    else:
        angle = math.radians(strength)
        y, x = x * math.sin(angle) + y * math.cos(angle), x * math.cos(angle) - y * math.sin(angle)
    return torch.stack([x / jumps[1], y / jumps[0]], dim=-1)


def _sampled(maps: Tensor, sources: Tensor, beyond: str) -> Tensor:
    """Maps at other places, interpolated between their units."""
    size = torch.tensor([maps.shape[3], maps.shape[2]], dtype=sources.dtype, device=sources.device)
    grid = (sources * 2 / size).to(maps.dtype)[None].expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, grid, padding_mode=beyond, align_corners=False)


def distances(one: Tensor, other: Tensor, inside: Tensor) -> Tensor:
    """How far two outputs of each sample are from each other where both can be compared, (N,): 0 where they are equal,
    1 where they are orthogonal; sqrt(||a - b||^2 / (||a||^2 + ||b||^2)). NaN where nothing can be compared.

    Args:
        one, other: (N, ...).
        inside: 1 where they are compared, else 0; it is broadcast.
    """
    if not inside.any():
        return torch.full((len(one),), math.nan, device=one.device)
    norms = [torch.linalg.vector_norm((part * inside).flatten(1), dim=1, dtype=WIDE)
             for part in (one - other, one, other)]  # fmt: skip
    both = torch.hypot(norms[1], norms[2])
    apart: Tensor = norms[0] / both.clamp_min(torch.finfo(both.dtype).tiny)
    return apart


def jumps(subject: Subject, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Pixels of the image from one unit of a layer to the next, downwards and to the right, by layer.

    They are exact where the layer takes images of any size: an image that is longer by n pixels has n / jump units
    more. Elsewhere they are the image's size divided by that of the maps.
    """
    sizes: list[dict[str, torch.Size]] = []
    empty = subject.empty()
    for longer in ((0, 0), (LONGER, 0), (0, LONGER)):
        with torch.no_grad(), subject.kept(names) as found:
            try:
                subject.net(F.pad(empty, (0, longer[1], 0, longer[0])))
            except (RuntimeError, ValueError, AssertionError):  # what stands behind the maps takes one size alone
                if longer == (0, 0):
                    raise
        sizes.append({name: output.shape for name, output in found.items()})
    exact: dict[str, tuple[float, float]] = {}
    for name in names:
        shape = sizes[0][name]
        if len(shape) != 4:
            exact[name] = (1.0, 1.0)
            continue
        pair = []
        for axis, longer_sizes in ((2, sizes[1]), (3, sizes[2])):
            more = longer_sizes[name][axis] - shape[axis] if len(longer_sizes.get(name, ())) == 4 else 0
            pair.append(LONGER / more if more > 0 else empty.shape[axis] / shape[axis])
        exact[name] = (pair[0], pair[1])
    return exact


class Moved(NamedTuple):
    """What came of a transformation at one strength.

    Attributes:
        apart: of each layer the mean distance of f(g(x)) from g(f(x)); NaN where nothing of its maps stays inside.
        said: the mean answer for the output that is explained.
        unchanged: the share of samples whose likeliest class stays; NaN where the answer is no class.
    """

    apart: dict[str, float]
    said: float
    unchanged: float


def measure(subject: Subject, x: Tensor, target: Tensor, layers: Sequence[str]) -> dict[str, dict[float, Moved]]:
    """The distances and answers of all transformations and strengths.

    Args:
        subject: the network.
        x: standardised images, (N, C, H, W).
        target: the output that is explained of each, (N,).
        layers: their dotted names.
    """
    far = jumps(subject, layers)
    sums: dict[str, dict[float, list[Tensor]]] = {kind: {} for kind in MOVES}
    for part, wanted in zip(torch.split(x, BATCH), torch.split(target, BATCH), strict=True):
        before, answers = _passed(subject, part, layers)
        pixels = subject.pixels(part).clamp(0, 1)
        for kind in MOVES:
            for strength in strengths(kind, x.shape[3]):
                after, answered = _passed(subject, subject.standardised(moved(pixels, kind, strength)), layers)
                found = [distances(after[name], *along(before[name], kind, strength, far[name])) for name in layers]
                found.append(answered.gather(1, wanted[:, None])[:, 0].double())
                found.append((answered.argmax(dim=1) == answers.argmax(dim=1)).double())
                sums[kind].setdefault(strength, []).append(torch.stack(found))
    return {kind: {strength: _mean(torch.cat(parts, dim=1), layers, subject.chooses)
                   for strength, parts in found.items()} for kind, found in sums.items()}  # fmt: skip


def _passed(subject: Subject, x: Tensor, layers: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    """What the layers and the network give."""
    with torch.no_grad(), subject.kept(layers) as found:
        answers = subject.as_answers(subject.scores(x))
        return {name: _some(output) for name, output in found.items()}, answers


def _some(output: Tensor) -> Tensor:
    """As many of the maps of a layer, evenly spaced, as are compared; other outputs whole."""
    return output[:, :: -(-output[0].numel() // VALUES)] if output.ndim == 4 else output


def _mean(values: Tensor, layers: Sequence[str], chooses: bool) -> Moved:
    *apart, said, unchanged = values.mean(dim=1).tolist()
    return Moved(dict(zip(layers, apart, strict=True)), said, unchanged if chooses else math.nan)


def equivariance(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Whether layers move along with the picture, and whether the answer stays, over some samples.

    Raises:
        CouloirError: the inputs are no images, or a layer is named that there is not.
    """
    if not subject.is_image:
        raise CouloirError("The inputs are no images, and nothing else can be moved.", next_step="leave it out")
    layers = [subject.layer(name).name for name in wanted.layers] or spread(subject)
    x, target, told = _samples(subject, shown, wanted)
    found = measure(subject, x, target, layers)
    note = (
        "Lines of layers show how far what a layer gives for the moved picture, f(g(x)), is from what it gave before, "
        "moved in the same way, g(f(x)): 0 where the layer moves along, 1 where both have nothing in common. Only what "
        "stays inside the picture is compared; what has no place should not change. The chart beside it shows the "
        f"answer. Shifts go in a circle. Over {told}."
    )
    numbers: dict[str, Any] = {"samples": len(x), "layers": layers}
    for kind, at in found.items():
        numbers[kind] = {f"{strength:g}": one._asdict() for strength, one in at.items()}
    whole = Exhibit(
        "equivariance", "When the picture moves", note, html=_table(found, layers, subject), numbers=numbers
    )
    return [whole, *(_shown(kind, found[kind], layers, subject, shown) for kind in MOVES)]


def spread(subject: Subject) -> list[str]:
    """Some layers from the first to the last, those that compute nothing left out."""
    parents = {name.rpartition(".")[0] for name in (met.name for met in subject.met)}
    own = [met for met in subject.met if met.kind not in FLAT and met.name not in parents]
    chosen = np.linspace(0, len(own) - 1, min(LAYERS, len(own))).round().astype(int)
    return [own[place].name for place in chosen]


def _samples(subject: Subject, shown: Shown, wanted: Wanted) -> tuple[Tensor, Tensor, str]:
    """What is moved, its outputs, and what it is: some of the split where the data is there, else what is shown."""
    if not subject.has_data:
        of = f"the first {MOST} of " if len(shown) > MOST else ""
        told = "the picture that is shown" if len(shown) == 1 else f"{of}the {len(shown)} pictures that are shown"
        return shown.x[:MOST], shown.target[:MOST], told
    x = torch.cat([part for part, _, _ in subject.split(wanted.split, min(MOST, wanted.most))])
    return x, subject.answers(x).argmax(dim=1), f"{len(x)} samples from all over the split {wanted.split}"


def _charts(kind: str, at: dict[float, Moved], layers: Sequence[str], subject: Subject) -> list[Chart]:
    """Distances of the layers, and the answer, over the strength."""
    move = MOVES[kind]
    places: list[Any] = [SIDES[int(strength)] for strength in at] if kind == "mirror" else list(at)
    form = {"type": "bar"} if kind == "mirror" else {"type": "scatter", "mode": "lines+markers"}
    axis: dict[str, Any] = {
        "title": {"text": label(f"{move.title}, {move.axis}")},
        "type": "category" if kind == "mirror" else "linear",
    }
    highest = max((one.apart[name] for one in at.values() for name in layers if one.apart[name] > 1), default=1.0)
    share = {"range": [0, highest + 0.05], "title": {"text": "f(g(x)) from g(f(x))"}}

    def trace(values: list[float], name: str, place: int) -> dict[str, Any]:
        colour = f"--c{place % 10}"
        paint = (
            {"marker": {"color": colour}} if kind == "mirror" else {"line": {"color": colour}, "marker": {"size": 5}}
        )
        return {**form, **paint, "x": places, "y": values, "name": label(name, 30)}

    apart = [trace([one.apart[name] for one in at.values()], name, place) for place, name in enumerate(layers)]
    drawn = [Chart(apart, {"xaxis": axis, "yaxis": share}, f"{move.title}: how far the layers are from moving along")]
    said = "mean probability of the class" if subject.chooses else "mean answer"
    answers = [trace([one.said for one in at.values()], said, 0)]
    if subject.chooses:
        answers.append(trace([one.unchanged for one in at.values()], "unchanged answers", 1))
    height: dict[str, Any] = {"range": [0, 1.05]} if subject.chooses else {}
    drawn.append(Chart(answers, {"xaxis": axis, "yaxis": height}, f"{move.title}: what becomes of the answer"))
    return drawn


def _table(found: dict[str, dict[float, Moved]], layers: Sequence[str], subject: Subject) -> str:
    """The means over the strengths, but for the one that changes nothing."""
    neutral = {"shift": 0.0, "rotation": 0.0, "scale": 1.0, "brightness": 1.0}
    rows = []
    for kind, at in found.items():
        some = [one for strength, one in at.items() if strength != neutral.get(kind)]
        values = [float(np.nanmean([one.apart[name] for one in some])) for name in layers]
        if subject.chooses:
            values.append(float(np.mean([one.unchanged for one in some])))
        rows.append([Cell(MOVES[kind].title), *(Cell(f"{value:.3f}", value, "number") for value in values)])
    columns = ["transformation", *layers, *(["unchanged answers"] if subject.chooses else [])]
    return table(columns, rows, "mean distance of each layer from moving along")


def _shown(kind: str, at: dict[float, Moved], layers: Sequence[str], subject: Subject, shown: Shown) -> Exhibit:
    """The charts of a transformation, and what it makes of the first picture that is shown."""
    one, target, move = shown.part([0]), int(shown.target[0]), MOVES[kind]
    tried = strengths(kind, one.x.shape[3])
    pixels = torch.cat([moved(one.pixels, kind, strength) for strength in tried])
    answers = subject.answers(subject.standardised(pixels))[:, target].tolist()
    said = [f"{_strength(kind, strength)}: {format(value, '.2f' if subject.chooses else '.3g')}"
            for strength, value in zip(tried, answers, strict=True)]  # fmt: skip
    name = f"{one.names[0]}: " if one.names else ""
    panel = Panel(f"equivariance_0_{kind}", f"{name}{subject.name_of(target)} at {', '.join(said)}", strip(pixels),
                  pixels.cpu().numpy())  # fmt: skip
    told = f"{move.told[0].upper()}{move.told[1:]}."
    return Exhibit("equivariance", move.title[0].upper() + move.title[1:], told, panels=[panel],
                   charts=_charts(kind, at, layers, subject), side=WIDTH * len(tried))  # fmt: skip


def _strength(kind: str, strength: float) -> str:
    return SIDES[int(strength)] if kind == "mirror" else f"{strength:g}"


def strip(pixels: Tensor, gap: int = 2) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images in [0, 1] (N, C, H, W) beside each other, small ones enlarged, as uint8 (h, w) or (h, w, 3)."""
    times = max(1, -(-PICTURE // max(pixels.shape[2:])))
    values = in_bytes(pixels).cpu().numpy()
    enlarged = values.repeat(times, axis=2).repeat(times, axis=3).transpose(0, 2, 3, 1)
    enlarged = np.pad(enlarged, ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    beside = np.concatenate(list(enlarged), axis=1)[:, :-gap]
    return beside[..., 0] if beside.shape[2] == 1 else beside[..., :3]
