"""What captum, a library of attributions, gives for the same sample, and how far it is from what is computed here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from couloir.artifacts.page import Cell, table
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import laid_over
from couloir.inference.explain.rectifiers import rectifies
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where.attribution import (
    absolute_map,
    baseline_of,
    grad_cam_maps,
    guided_gradients,
    integrated,
    last_layer,
    pixel_gradients,
    signed_map,
)
from couloir.inference.explain.where.tables import bars, by_column, columns_of
from couloir.inference.explain.words import FULL, Wanted, needs_captum

NODES = 16
"""Points of integrated gradients, here and there."""
SHAPLEY = 50
"""Orders of the columns that Shapley values are sampled from."""


@dataclass(frozen=True)
class Both:
    """One method twice.

    Attributes:
        method: its name among `METHODS`.
        theirs: its name in captum.
        own: values (N, ...).
        other: captum's, of the same shape.
    """

    method: str
    theirs: str
    own: Tensor
    other: Tensor

    def apart(self, number: int) -> tuple[float, float]:
        """Of one sample the largest difference, and the largest value."""
        return float((self.own[number] - self.other[number]).abs().max()), float(self.own[number].abs().max())


class Scored(nn.Module):
    """The network as captum calls it: from pixels in [0, 1] to scores (B, K).

    Args:
        subject: the network.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.net, self._subject = subject.net, subject

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, C, H, W) or (B, F) -> (B, K)."""
        return self._subject.scores(self._subject.standardised(pixels))


def captum(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Captum's attributions of the first `FULL` samples, and the largest difference from those computed here.

    Raises:
        CouloirError: captum is not installed.
    """
    needs_captum()
    part = shown if len(shown) <= FULL else shown.part(range(FULL))
    found = both(subject, part, wanted.layers)
    shapley = None if subject.is_image else shapley_values(subject, part, wanted.seed)
    return [_one(subject, part, number, found, shapley) for number in range(len(part))]


def both(subject: Subject, shown: Shown, layers: Sequence[str] = ()) -> list[Both]:
    """Each method that the network allows, by captum and as it is computed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum tells that it sets hooks and gradients
        return _both(subject, shown, layers)


def _both(subject: Subject, shown: Shown, layers: Sequence[str]) -> list[Both]:
    from captum.attr import GuidedBackprop, IntegratedGradients, LayerGradCam, Saliency

    net, target = Scored(subject), shown.target
    start = subject.pixels(baseline_of(shown.x))
    attribute = IntegratedGradients(net).attribute
    theirs = attribute(shown.pixels, start, target=target, n_steps=NODES, method="gausslegendre")
    own = integrated(subject, shown.x, target, baseline_of(shown.x), NODES)
    found = [Both("integrated_gradients", "IntegratedGradients", own, theirs)]
    saliency = Saliency(net).attribute(shown.pixels.clone(), target=target, abs=False)
    found.append(Both("gradients", "Saliency", pixel_gradients(subject, shown.x, target), saliency))
    if not subject.is_image:
        return found
    if not rectifies(subject):
        guided = GuidedBackprop(net).attribute(shown.pixels.clone(), target=target)
        found.append(Both("guided_backprop", "GuidedBackprop", guided_gradients(subject, shown.x, target), guided))
    layer = subject.layer(layers[0]).name if layers else last_layer(subject)
    if layer:
        maps = grad_cam_maps(subject, shown.x, target, layer)
        cam = LayerGradCam(net, subject.net.get_submodule(layer)).attribute(
            shown.pixels, target=target, relu_attributions=True
        )
        found.append(Both("grad_cam", "LayerGradCam", maps, cam[:, 0]))
    return [Both(each.method, each.theirs, each.own.detach(), each.other.detach()) for each in found]


def shapley_values(subject: Subject, shown: Shown, seed: int) -> Tensor:
    """Shapley values of the columns of rows, sampled by captum, (N, columns): what a column adds to the score, over
    orders in which the columns take their values instead of the means. What is drawn moves no generator.
    """
    from captum.attr import ShapleyValueSampling

    columns = columns_of(subject)
    mask = torch.zeros(1, shown.x.shape[1], dtype=torch.long, device=shown.x.device)
    for place, column in enumerate(columns):
        mask[0, column.inputs] = place
    score: Callable[[Tensor], Tensor] = subject.scores
    with isolate_rng(), torch.no_grad():
        torch.manual_seed(seed)
        values = ShapleyValueSampling(score).attribute(
            shown.x, torch.zeros_like(shown.x[:1]), target=shown.target, feature_mask=mask, n_samples=SHAPLEY
        )
    first = [column.inputs[0] for column in columns]  # all inputs of a column have its value
    found: Tensor = values[:, first]
    return found


def _one(subject: Subject, shown: Shown, number: int, found: Sequence[Both], shapley: Tensor | None) -> Exhibit:
    name = subject.name_of(int(shown.target[number]))
    note = (
        "The same by captum, and the largest difference of any value from what is computed here, beside the largest "
        f"value. Both take {NODES} steps for integrated gradients."
    )
    exhibit = Exhibit("captum", f"By captum: {name}", note, sample=number)
    rows, numbers = [], {}
    for each in found:
        difference, most = each.apart(number)
        cells = [
            Cell(each.theirs),
            Cell(f"{difference:.2g}", difference, "number"),
            Cell(f"{most:.3g}", most, "number"),
        ]
        rows.append(cells)
        numbers[each.method] = {"captum": each.theirs, "largest_difference": difference, "largest_value": most}
        if subject.is_image:
            signed = each.method == "integrated_gradients"
            one = each.other[number : number + 1]
            values = (signed_map(one) if signed else absolute_map(each.method, one))[0]
            picture, _ = laid_over(shown.pixels[number], values, signed)
            words = f"{each.theirs}: {difference:.2g} apart, of {most:.3g}"
            exhibit.panels.append(Panel(f"captum_{number}_{each.method}", words, picture, values.cpu().numpy()))
    exhibit.html = table(["captum", "largest difference", "largest value"], rows, "captum's values and those of here")
    exhibit.numbers = {"output": name, "methods": numbers}
    if not subject.is_image:
        _add_columns(exhibit, subject, number, found[0].other, shapley)
    return exhibit


def _add_columns(exhibit: Exhibit, subject: Subject, number: int, values: Tensor, shapley: Tensor | None) -> None:
    """Charts of what captum says of the columns of a row."""
    columns = columns_of(subject)
    names = [column.name for column in columns]
    charts: list[tuple[str, list[float], str]] = [
        ("IntegratedGradients", by_column(values[number : number + 1], columns)[0].tolist(), "integrated_gradients")
    ]
    if shapley is not None:
        charts.append(("ShapleyValueSampling", shapley[number].tolist(), "shapley"))
        exhibit.note += f" Shapley values are sampled from {SHAPLEY} orders of the columns."
    for told, each, key in charts:
        pairs = sorted(zip(names, each, strict=True), key=lambda pair: -abs(pair[1]))
        exhibit.charts.append(bars([name for name, _ in pairs], [value for _, value in pairs], told))
        exhibit.numbers[key] = dict(zip(names, each, strict=True))
