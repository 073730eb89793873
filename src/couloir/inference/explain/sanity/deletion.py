"""Whether the answer goes when the parts go that a map marks, and comes back with them.

Petsiuk, Das and Saenko, 2018, RISE, section 4.1: by patches, and with the blurred image in their place, so that hard
edges are not what the network answers to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.page import Cell, Chart, label, table
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import as_large_as, photograph
from couloir.inference.explain.sanity.randomisation import called, checked, few, told_of
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.attribution import absolute_map, told_without_detail, without_detail
from couloir.inference.explain.where.image_maps import needs_images
from couloir.inference.explain.words import Wanted
from couloir.task.dense import Dense

PATCHES = 14
"""Patches along each side, whose order is followed."""
STEPS = 10
"""Shares of the patches at which the answer is asked for, beside none."""
ORDERS = 3
"""Random orders that a map's order is compared with."""


def patch_order(values: NDArray[Any], patches: tuple[int, int]) -> NDArray[np.int64]:
    """The patches of an image by the mean of a map (H, W) over them, the largest first, (P,)."""
    pooled = F.adaptive_avg_pool2d(torch.from_numpy(values.astype(np.float64))[None, None], patches).flatten()
    return np.argsort(-pooled.numpy(), kind="stable")


def marked(method: str, values: Tensor) -> Tensor:
    """By what the patches are put into order, (B, C, H, W) -> (B, H, W): of integrated gradients the values that raise
    the score, of other gradients their size.
    """
    return values.relu().sum(dim=1) if method == "integrated_gradients" else absolute_map(method, values)


def curve(
    subject: Subject, begin: Tensor, end: Tensor, order: NDArray[np.int64], patches: tuple[int, int], target: int
) -> NDArray[np.float64]:
    """The answer while the patches of one image take the place of those of another, (`STEPS` + 1,).

    Args:
        subject: the network.
        begin: the image in [0, 1] that is there at first, (C, H, W).
        end: that which is there at last.
        order: of the patches.
        patches: rows and columns of them.
        target: the class.
    """
    masks = torch.zeros(STEPS + 1, len(order), dtype=begin.dtype)
    for step in range(STEPS + 1):
        masks[step, torch.from_numpy(order[: round(len(order) * step / STEPS)].copy())] = 1
    size = (int(begin.shape[1]), int(begin.shape[2]))
    whole = F.interpolate(masks.view(-1, 1, *patches), size=size, mode="nearest").to(begin.device)
    frames = begin * (1 - whole) + end * whole
    found: NDArray[np.float64] = subject.answers(subject.standardised(frames))[:, target].double().cpu().numpy()
    return found


def area(values: NDArray[np.float64]) -> float:
    """The area under a curve over [0, 1], by trapezoids."""
    return float((values[1:] + values[:-1]).mean() / 2)


def deletion(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The probability of the class while the patches that a map marks go, and while they alone come back.

    Raises:
        CouloirError: the network looks at tables, or its answer is no probability.
    """
    needs_images(subject, "Deletion")
    if isinstance(subject.task, Dense) or subject.data.kind not in ("label", "labels"):
        raise CouloirError(
            "Deletion follows the probability of a class, and the answers of this run have none.",
            next_step="leave the method deletion out; randomisation checks the maps as well",
        )
    methods, part = checked(subject, wanted), few(shown)
    size = (int(part.pixels.shape[2]), int(part.pixels.shape[3]))
    patches = (min(PATCHES, size[0]), min(PATCHES, size[1]))
    values = {name: make(subject, part.x, part.target) for name, make in methods.items()}
    maps = {name: each if each.ndim == 3 else marked(name, each) for name, each in values.items()}
    faded = subject.pixels(without_detail(part.x))
    curves: dict[str, list[list[NDArray[np.float64]]]] = {"deletion": [], "insertion": []}
    panel: list[Panel] = []
    for number in range(len(part)):
        pixels, target = part.pixels[number], int(part.target[number])
        soft = faded[number]
        orders = [patch_order(as_large_as(each[number], pixels), patches) for each in maps.values()]
        chance = [np.random.default_rng([wanted.seed, number, draw]).permutation(patches[0] * patches[1])
                  for draw in range(ORDERS)]  # fmt: skip
        gone = [curve(subject, pixels, soft, order, patches, target) for order in [*orders, *chance]]
        back = [curve(subject, soft, pixels, order, patches, target) for order in orders]
        back += [each[::-1] for each in gone[len(orders) :]]  # a random order backwards is one as well
        for kind, found in {"deletion": gone, "insertion": back}.items():
            curves[kind].append([*found[: len(orders)], np.mean(found[len(orders) :], axis=0)])
        if number == 0:
            panel.append(_deleted(pixels, soft, orders[0], patches, next(iter(maps))))
    names = [*methods, "random"]
    exhibit = _shown_curves(names, curves, part, shown)
    exhibit.panels = panel
    return [exhibit]


def _deleted(pixels: Tensor, soft: Tensor, order: NDArray[np.int64], patches: tuple[int, int], method: str) -> Panel:
    """The first image without the fifth of its patches that a method marks most."""
    mask = torch.zeros(len(order), dtype=pixels.dtype)
    mask[torch.from_numpy(order[: len(order) // 5].copy())] = 1
    size = (int(pixels.shape[1]), int(pixels.shape[2]))
    whole = F.interpolate(mask.view(1, 1, *patches), size=size, mode="nearest")[0].to(pixels.device)
    told = f"without the fifth that {called(method)} marks most"
    return Panel("deletion_0", told, photograph(pixels * (1 - whole) + soft * whole))


def _shown_curves(
    names: Sequence[str], curves: Mapping[str, list[list[NDArray[np.float64]]]], part: Shown, shown: Shown
) -> Exhibit:
    areas = {kind: np.array([[area(each) for each in of_one] for of_one in found]) for kind, found in curves.items()}
    better = {
        "deletion": (areas["deletion"][:, :-1] < areas["deletion"][:, -1:]).mean(axis=0),
        "insertion": (areas["insertion"][:, :-1] > areas["insertion"][:, -1:]).mean(axis=0),
    }
    instead = told_without_detail(part.x)
    note = (
        f"Patch by patch, what a map marks most gives way to {instead} first (deletion), or is the first to come "
        f"back (insertion), for {told_of(part, shown)}; {ORDERS} random orders stand beside (Petsiuk, Das and "
        "Saenko, 2018). A map that marks what matters has a deletion curve below random order's and an insertion curve "
        "above."
    )
    exhibit = Exhibit("deletion", "What is marked, taken away", note)
    x = [step / STEPS for step in range(STEPS + 1)]
    for kind, told in (("deletion", "share of patches that are gone"), ("insertion", "share of patches that are back")):
        mean = np.mean(np.array(curves[kind]), axis=0)
        traces = []
        for place, name in enumerate(names):
            line: dict[str, Any] = {"color": f"--c{place}", "width": 2}
            if name == "random":
                line = {"color": "--muted", "width": 2, "dash": "dot"}
            traces.append({"type": "scatter", "mode": "lines", "x": x, "y": mean[place].tolist(), "line": line,
                           "name": label(called(name)), "hovertemplate": "%{y:.3f}"})  # fmt: skip
        layout = {"xaxis": {"title": {"text": told}, "range": [0, 1]},
                  "yaxis": {"title": {"text": "probability of the class"}, "rangemode": "tozero"}}  # fmt: skip
        exhibit.charts.append(Chart(traces, layout, f"{kind}: probability of the class, mean over the samples", 320))
    rows, worse = [], []
    for place, name in enumerate(names):
        cells = [Cell("random order" if name == "random" else called(name))]
        for kind in ("deletion", "insertion"):
            mean_area = float(areas[kind][:, place].mean())
            cells.append(Cell(f"{mean_area:.3f}", mean_area, "number"))
            share = None if name == "random" else float(better[kind][place])
            cells.append(Cell("" if share is None else f"{share:.0%}", share, "number"))
        rows.append(cells)
        if name != "random" and areas["deletion"][:, place].mean() >= areas["deletion"][:, -1].mean():
            worse.append(called(name))
    heads = ["map", "area, deletion", "below random", "area, insertion", "above random"]
    exhibit.html = table(heads, rows, "areas under the curves, and the share of samples that are better than random")
    if worse:
        exhibit.warning = (
            f"What {' and '.join(worse)} mark{'s' if len(worse) == 1 else ''} can be taken away like any other part: "
            "the probability falls no faster than in random order."
        )
    exhibit.numbers = {"samples": part.names, "orders": ORDERS}
    for kind in ("deletion", "insertion"):
        exhibit.numbers[kind] = {
            name: {"area": float(areas[kind][:, place].mean()), "areas": areas[kind][:, place].tolist(),
                   **({} if name == "random" else {"better": float(better[kind][place])})}
            for place, name in enumerate(names)
        }  # fmt: skip
    return exhibit
