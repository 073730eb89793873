"""Where a network looked: maps over the image, out of the gradients of one output's score."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.heat import laid_over, photograph
from couloir.inference.explain.rectifiers import rectifies
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.where import tables
from couloir.inference.explain.where.attribution import (
    FEWER,
    FEWER_NOISY,
    MOST_NODES,
    NODES,
    NOISE,
    NOISY,
    Maps,
    attributed,
    baseline_of,
    grad_cam_maps,
    grad_cam_plus_plus_maps,
    guided_gradients,
    pixel_gradients,
    smooth_gradients,
    strongest_channel,
    told_sum,
    told_without_detail,
)
from couloir.inference.explain.words import FULL, Wanted
from couloir.task.dense import Dense


def grad_cam(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Grad-CAM of each sample, of the layers that are named or of the last one with maps."""
    told = (
        "The maps of a layer, each with the mean of its gradient as weight, summed; what speaks against the class is "
        "left out (Selvaraju et al., 2017)."
    )
    return _of_layers("grad_cam", "Grad-CAM", told, grad_cam_maps, subject, shown, wanted)


def grad_cam_plus_plus(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Grad-CAM++ of each sample, of the layers that are named or of the last one with maps."""
    told = (
        "Grad-CAM with a weight for each place, which is to show several objects of a class where Grad-CAM shows one "
        "(Chattopadhay et al., 2018). The values are those without the factor exp(score)."
    )
    return _of_layers("grad_cam_plus_plus", "Grad-CAM++", told, grad_cam_plus_plus_maps, subject, shown, wanted)


def _of_layers(
    method: str, title: str, told: str, make: Maps, subject: Subject, shown: Shown, wanted: Wanted
) -> list[Exhibit]:
    needs_images(subject, title)
    layers = [subject.layer(name).name for name in wanted.layers] or [subject.last_maps.name]
    maps = {layer: make(subject, shown.x, shown.target, layer) for layer in layers}
    exhibits = []
    for number in range(len(shown)):
        exhibit = _exhibit(method, title, told, subject, shown, number)
        for layer, found in maps.items():
            name = f"{method}_{number}" if len(maps) == 1 else f"{method}_{number}_{layer}"
            values = found[number]
            picture, ends = laid_over(shown.pixels[number], values)
            size = f"{values.shape[0]} x {values.shape[1]}"
            exhibit.panels.append(Panel(name, f"{layer}, {size}: {ends}", picture, values.cpu().numpy()))
            exhibit.numbers[layer] = {"largest": float(values.max()), "size": list(values.shape)}
        if all(not bool(found[number].any()) for found in maps.values()):
            exhibit.note += " Here it is zero everywhere: nothing in the layer speaks for this class."
        exhibits.append(exhibit)
    return exhibits


def gradients(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The gradient of the score for each pixel; of rows for each column."""
    if not subject.is_image:
        return tables.gradients_of_rows(subject, shown)
    told = (
        "How much the score changes with each pixel: the largest absolute value over the colours (Simonyan, Vedaldi "
        "and Zisserman, 2014)."
    )
    found = strongest_channel(pixel_gradients(subject, shown.x, shown.target))
    return _of_pixels("gradients", "Gradients", told, found, subject, shown)


def guided_backprop(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The gradient that leaves out, at each ReLU, what lowers the score.

    Raises:
        CouloirError: the network has other activations.
    """
    needs_images(subject, "Guided backpropagation")
    refuse_other_activations(subject, "Guided backpropagation", "guided_backprop")
    told = (
        "Gradients that leave out, at each ReLU on the way down, what lowers the score (Springenberg et al., 2015): "
        "the largest absolute value over the colours."
    )
    found = strongest_channel(guided_gradients(subject, shown.x, shown.target))
    return _of_pixels("guided_backprop", "Guided backpropagation", told, found, subject, shown)


def integrated_gradients(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Integrated gradients with the check of their sum; of rows by column."""
    if not subject.is_image:
        return tables.integrated_of_rows(subject, shown)
    many = len(shown) > FULL
    nodes, most = (FEWER, FEWER) if many else (NODES, MOST_NODES)
    found = attributed(subject, shown.x, shown.target, baseline_of(shown.x), nodes, most)
    maps = found.values.sum(dim=1)
    exhibits = []
    for number in range(len(shown)):
        told = (
            f"What each pixel adds to the score on the way from {told_without_detail(shown.x)} to the image, in "
            f"{found.nodes[number]} steps (Sundararajan, Taly and Yan, 2017). Red raises the score, blue lowers it."
        )
        exhibit = _exhibit("integrated_gradients", "Integrated gradients", told, subject, shown, number)
        picture, ends = laid_over(shown.pixels[number], maps[number], signed=True)
        values = found.values[number].cpu().numpy()
        exhibit.panels.append(Panel(f"integrated_gradients_{number}", ends, picture, values))
        told_sum(exhibit, found, number)
        exhibits.append(exhibit)
    return exhibits


def smoothgrad(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The mean gradient under noise."""
    needs_images(subject, "SmoothGrad")
    copies = FEWER_NOISY if len(shown) > FULL else NOISY
    told = (
        f"The mean gradient of {copies} copies with noise, whose deviation is {NOISE:.0%} of the range of the image's "
        "values: the largest absolute value over the colours (Smilkov et al., 2017)."
    )
    found = strongest_channel(smooth_gradients(subject, shown.x, shown.target, copies, wanted.seed))
    return _of_pixels("smoothgrad", "SmoothGrad", told, found, subject, shown)


def _of_pixels(method: str, title: str, told: str, maps: Tensor, subject: Subject, shown: Shown) -> list[Exhibit]:
    """Exhibits of maps with a value a pixel, (N, H, W), none of which is negative."""
    exhibits = []
    for number in range(len(shown)):
        exhibit = _exhibit(method, title, told, subject, shown, number)
        picture, ends = laid_over(shown.pixels[number], maps[number])
        exhibit.panels.append(Panel(f"{method}_{number}", ends, picture, maps[number].cpu().numpy()))
        exhibit.numbers["largest"] = float(maps[number].max())
        exhibits.append(exhibit)
    return exhibits


def _exhibit(method: str, title: str, told: str, subject: Subject, shown: Shown, number: int) -> Exhibit:
    """The beginning of what a method shows of a sample: for up to `FULL` samples with the photograph itself."""
    target = int(shown.target[number])
    numbers: dict[str, Any] = {"output": subject.name_of(target)}
    exhibit = Exhibit(method, f"{title}: {subject.name_of(target)}", told, numbers=numbers, sample=number)
    if isinstance(subject.task, Dense):
        exhibit.note += " The score is the mean over the pixels of the network's map."
    if len(shown) <= FULL:
        name = shown.names[number] if shown.names else f"sample {number}"
        exhibit.panels.append(Panel(f"{method}_{number}_image", name, photograph(shown.pixels[number])))
    return exhibit


def needs_images(subject: Subject, title: str) -> None:
    """Refuse tables.

    Raises:
        CouloirError: the network looks at no images.
    """
    if not subject.is_image:
        raise CouloirError(
            f"{title} needs images, and this network looks at rows of a table.",
            next_step="for tables there are --methods integrated_gradients permutation gradients",
        )


def refuse_other_activations(subject: Subject, title: str, method: str) -> None:
    """Refuse a network whose activations are not ReLU.

    Raises:
        CouloirError: there are others, or none.
    """
    reason = rectifies(subject)
    if reason:
        raise CouloirError(f"{title} does not fit this network. {reason}", next_step=f"leave the method {method} out")
