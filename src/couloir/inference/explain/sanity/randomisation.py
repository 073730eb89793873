"""Whether a map means anything: does it change when the network's weights do, or when it has learned random labels?

Adebayo et al., 2018, Sanity Checks for Saliency Maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from couloir.artifacts.page import Cell, Chart, label, table
from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import laid_over
from couloir.inference.explain.sanity.randomised import Compared, compared, drawn_networks, stages, survival
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.attribution import Made, absolute_map, makers, signed_map
from couloir.inference.explain.where.image_maps import needs_images
from couloir.inference.explain.words import FULL, Wanted
from couloir.inference.trained import Trained

USUAL = ("grad_cam", "gradients", "guided_backprop", "integrated_gradients")
"""Methods that are checked where none of them is asked for."""
FEW = 3
"""Samples that are checked where there are more than `FULL`."""
NODES = 4
"""Points of integrated gradients here: ranks need no exact sum."""
SURVIVES = 0.3
"""Rank correlation from which on a map has survived weights drawn anew."""
TITLES = {
    "grad_cam": "Grad-CAM", "grad_cam_plus_plus": "Grad-CAM++", "gradients": "gradients", "smoothgrad": "SmoothGrad",
    "guided_backprop": "guided backpropagation", "integrated_gradients": "integrated gradients",
}  # fmt: skip


def randomisation(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Rank correlations of maps with those of networks whose weights are drawn anew from the answer down."""
    needs_images(subject, "Drawing weights anew")
    methods, part = checked(subject, wanted), few(shown)
    parts = stages(subject.net, subject.empty())
    found = survival(subject, part.x, part.target, methods, parts, drawn_networks(subject, wanted.seed))
    means = {name: _both(each) for name, each in found.whole.items()}
    fails = _alike(means)
    exhibit = Exhibit("randomisation", "Weights drawn anew")
    exhibit.note = (
        f"The weights are drawn anew from the answer down, and the maps of {told_of(part, shown)} are compared with "
        "those of the trained network: the rank correlation of their absolute values and, dotted, of their values with "
        f"signs (Adebayo et al., 2018). A map that is still alike, {SURVIVES:g} or more by either, when all weights "
        f"are drawn ({found.drawn} networks) shows the image, and not what the network has learned."
    )
    for name, count in found.constant.items():
        if count:
            exhibit.note += (
                f" {called(name)}: {count} of {found.drawn * len(part)} maps of such networks are constant, as the "
                "score is the same whatever the image is. They have no ranks and are left out."
            )
    names = ["trained", *[_down_to(names) for names in parts]]
    traces: list[dict[str, Any]] = []
    for place, name in enumerate(methods):
        stage_means = [_both(each) for each in found.by_stage[name][:-1]]
        for kind, dash in (("absolute", "solid"), ("signed", "dot")):
            if kind == "signed" and name.startswith("grad_cam"):
                continue  # it has no signs
            values = [1.0, *[each[kind] for each in stage_means], means[name][kind]]
            traces.append({
                "type": "scatter", "mode": "lines+markers", "x": names, "y": values, "legendgroup": name,
                "name": label(called(name) + ("" if kind == "absolute" else ", with signs")),
                "showlegend": kind == "absolute", "line": {"color": f"--c{place}", "width": 2, "dash": dash},
                "hovertemplate": "%{y:.2f}",
            })  # fmt: skip
    limit = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": SURVIVES, "y1": SURVIVES}
    layout = {
        "xaxis": {"title": {"text": "weights drawn anew down to"}, "type": "category", "automargin": True},
        "yaxis": {"title": {"text": "rank correlation"}, "range": [-0.35, 1.05]},
        "shapes": [{**limit, "line": {"color": "--bad", "dash": "dash", "width": 1.2}}],
    }
    told = "rank correlation of maps with those of the trained network, weights drawn anew layer by layer"
    exhibit.charts.append(Chart(traces, layout, told, 380))
    rows = []
    for name, mean in means.items():
        verdict = "cannot tell" if mean["absolute"] is None else "survives" if name in fails else "passes"
        rows.append([Cell(called(name)), _number(mean["absolute"]), _number(mean["signed"]), Cell(verdict)])
    heads = ["method", "all drawn", "with signs", "verdict"]
    exhibit.html = table(heads, rows, "rank correlation with all weights drawn anew")
    exhibit.panels = _before_and_after(part, methods, subject, found.maps, "randomisation", "all weights drawn anew")
    exhibit.numbers = {
        "samples": part.names, "stages": [_down_to(names) for names in parts], "drawn": found.drawn,
        "by_stage": {name: [_both(each) for each in values] for name, values in found.by_stage.items()},
        "each": {name: {"absolute": each.absolute.tolist(), "signed": each.signed.tolist()}
                 for name, each in found.whole.items()},
        "correlation": means, "constant": found.constant, "fails": fails,
    }  # fmt: skip
    return [exhibit]


def _both(found: Compared) -> dict[str, float | None]:
    return {"absolute": _mean(found.absolute), "signed": _mean(found.signed)}


def _alike(means: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """The methods whose maps are alike in two networks, and by how much."""
    found = {name: max([value for value in each.values() if value is not None], default=-1.0)
             for name, each in means.items()}  # fmt: skip
    return {name: value for name, value in found.items() if value >= SURVIVES}


def _number(value: float | None) -> Cell:
    return Cell("no ranks" if value is None else f"{value:.2f}", value, "number")


def _before_and_after(
    part: Shown, methods: Mapping[str, Made], subject: Subject, others: Mapping[str, Tensor], name: str, told: str
) -> list[Panel]:
    """Of the first sample each method's map, and beside it that of another network."""
    panels = []
    for method, make in methods.items():
        signed = method == "integrated_gradients"
        for end, values, words in (
            ("trained", make(subject, part.x[:1], part.target[:1]), "trained"), ("other", others[method][:1], told)
        ):  # fmt: skip
            shown = (signed_map(values) if signed else absolute_map(method, values))[0]
            picture, _ = laid_over(part.pixels[0], shown, signed)
            panels.append(Panel(f"{name}_{method}_{end}", f"{called(method)}, {words}", picture, shown.cpu().numpy()))
    return panels


def random_labels(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The maps of a second run, whose labels were random, beside those of the run.

    Raises:
        CouloirError: no second run is named, its labels were not random, or it looks at other images.
    """
    needs_images(subject, "The check by random labels")
    if wanted.against is None:
        raise CouloirError(
            "A second run is needed, whose labels were random, and none is named.",
            next_step="train it with data.label_noise=1, and name it with --against RUN",
        )
    other = Subject(Trained(run_config(wanted.against), wanted.against))
    share = _check_second(subject, other, wanted.against)
    part = few(shown)
    theirs = makers(other, NODES)
    methods = {name: make for name, make in checked(subject, wanted).items() if name in theirs}
    x = other.standardised(part.pixels)
    maps = {name: theirs[name](other, x, part.target) for name in methods}
    own = {name: make(subject, part.x, part.target) for name, make in methods.items()}
    # Layers of several sizes have no places in common.
    found = {name: compared(name, own[name], maps[name]) for name in methods if own[name].shape == maps[name].shape}
    means = {name: _both(each) for name, each in found.items()}
    exhibit = Exhibit("random_labels", "Labels drawn at random")
    exhibit.note = (
        f"The maps of {told_of(part, shown)} by this network, and by that of {wanted.against.name}, {share} (Adebayo "
        "et al., 2018, section 4): rank correlations. Maps that are alike show the image, and not what the network has "
        "learned of the classes."
    )
    rows = [[Cell(called(name)), _number(mean["absolute"]), _number(mean["signed"])] for name, mean in means.items()]
    heads = ["method", "rank correlation", "with signs"]
    exhibit.html = table(heads, rows, "rank correlation with the maps of a network that learned random labels")
    exhibit.panels = _before_and_after(part, {name: methods[name] for name in found}, subject, maps, "random_labels",
                                       "random labels")  # fmt: skip
    alike = _alike(means)
    if alike:
        exhibit.warning = f"Alike in both networks: {', '.join(map(called, alike))}."
    constant = {name: int(np.isnan(each.absolute).sum()) for name, each in found.items()}
    exhibit.numbers = {"against": str(wanted.against), "samples": part.names, "correlation": means,
                       "constant": constant, "alike": alike}  # fmt: skip
    return [exhibit]


def _check_second(subject: Subject, other: Subject, run: Path) -> str:
    """How random the labels of a second run were, in words.

    Raises:
        CouloirError: they were not, or it cannot look at the same images for the same outputs.
    """
    facts = [
        (each.kind, each.data.channels, str(each.data.image_size), each.data.num_classes) for each in (subject, other)
    ]
    if facts[0] != facts[1]:
        told = [f"{kind}s of {channels} channels, size {size}, for {outputs} outputs"
                for kind, channels, size, outputs in facts]  # fmt: skip
        raise CouloirError(
            f"The second run looks at {told[1]}, and this one at {told[0]}: their maps cannot be compared.",
            place=f"--against {run}", next_step="name a run of the same data, trained with data.label_noise=1",
        )  # fmt: skip
    noise = OmegaConf.select(other.trained.cfg, "data.label_noise")
    if noise is None:
        return "of whose labels nobody says whether they were random"
    if not noise:
        raise CouloirError(
            "The labels of the second run were not random.", place=f"--against {run}: data.label_noise={noise}",
            next_step="train it with data.label_noise=1",
        )  # fmt: skip
    return "whose labels were drawn at random" if noise == 1 else f"{noise:.0%} of whose labels were drawn at random"


def checked(subject: Subject, wanted: Wanted) -> dict[str, Made]:
    """The methods that are checked: those that are asked for, or the usual ones, as far as the network allows them."""
    there = makers(subject, NODES)
    names = [name for name in wanted.methods if name in there] or [name for name in USUAL if name in there]
    return {name: there[name] for name in names}


def few(shown: Shown) -> Shown:
    """The samples that are checked."""
    return shown if len(shown) <= FULL else shown.part(range(FEW))


def told_of(part: Shown, shown: Shown) -> str:
    """Which these are, in words."""
    if len(part) == len(shown):
        return "the sample" if len(part) == 1 else f"all {len(part)} samples"
    return f"the first {len(part)} of {len(shown)} samples"


def called(method: str) -> str:
    """What a method is called in a sentence."""
    return TITLES.get(method, method)


def _down_to(names: list[str]) -> str:
    return names[-1]


def _mean(values: NDArray[np.float64]) -> float | None:
    """The mean of those that are numbers; None: none is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None
