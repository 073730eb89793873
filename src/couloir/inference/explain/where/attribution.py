"""What in an input makes up one output's score: maps and numbers out of gradients, as functions on tensors.

Scores are those before the softmax. Gradients are those for pixels in [0, 1], before images are standardised.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit
from couloir.inference.explain.rectifiers import GUIDED, backward_rule, rectifies
from couloir.inference.explain.subject import BATCH, Subject
from couloir.task.dense import Dense
from couloir.task.generative import normal

NODES, FEWER = 16, 6
"""Points of the path of integrated gradients; where there are more than `FULL` samples."""
MOST_NODES = 128
"""Points at most, where the sum is not met."""
MISSED = 5.0
"""Percent of the difference of scores by which the sum may miss it."""
NOISY, FEWER_NOISY = 24, 8
"""Noisy copies of SmoothGrad (the paper: 50 are enough); where there are more than `FULL` samples."""
NOISE = 0.15
"""Deviation of the noise as a share of the range of the image's values (the paper: 10% to 20%)."""
BLUR, SMALL = 0.045, 64
"""Deviation of a blur as a share of the shorter side, 10 pixels of 227; and pixels of that side below which images are
not blurred.
"""
STREAM = 7
"""Of the draws of the noise, so that no other draw of a sample's number is the same."""


def activations_and_gradients(subject: Subject, x: Tensor, target: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """The maps of a layer, and how the score changes with them, (B, K, h, w) each, without gradients.

    Args:
        subject: the network.
        x: standardised images (B, C, H, W).
        target: the output of each, (B,).
        layer: the layer's dotted name.

    Raises:
        CouloirError: what the layer gives are no maps of these images, or the score does not depend on it.
    """
    task = subject.task
    if isinstance(task, Dense) and (x.shape[-2] > task.window[0] or x.shape[-1] > task.window[1]):
        raise CouloirError(
            "The network looks at these images in windows, so that a layer has no maps of a whole image.",
            next_step="--methods gradients,occlusion need none; or name images that are no larger than the window",
        )
    maps, down = [], []
    for part, wanted in zip(torch.split(x, BATCH), torch.split(target, BATCH), strict=True):
        given = part.detach().clone().requires_grad_()
        with torch.enable_grad(), subject.kept([layer]) as found:
            score = subject.score(given, wanted).sum()
        kept = found.get(layer)
        if kept is None or kept.ndim != 4 or len(kept) != len(part):
            shape = "nothing" if kept is None else f"shape {tuple(kept.shape)}"
            raise CouloirError(
                f"The layer {layer} gives {shape} for {len(part)} images, and Grad-CAM needs maps (B, K, h, w).",
                next_step=f"--layer {subject.last_maps.name} is the last one that has some",
            )
        gradient = torch.autograd.grad(score, kept, allow_unused=True)[0]
        if gradient is None:
            raise CouloirError(
                f"The score does not depend on the layer {layer}.",
                next_step=f"--layer {subject.last_maps.name} is the last one with maps that it depends on",
            )
        maps.append(kept.detach())
        down.append(gradient)
    return torch.cat(maps), torch.cat(down)


def grad_cam_maps(subject: Subject, x: Tensor, target: Tensor, layer: str) -> Tensor:
    """ReLU(sum_k a_k A_k), a_k being the mean of the gradient over map k; (B, h, w).

    Selvaraju et al., 2017, Grad-CAM, equations 1 and 2.
    """
    maps, down = activations_and_gradients(subject, x, target, layer)
    return (down.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).relu()


def grad_cam_plus_plus_maps(subject: Subject, x: Tensor, target: Tensor, layer: str) -> Tensor:
    """Grad-CAM whose weights are sums of the positive gradients, each with a weight of its own; (B, h, w).

    Of exp(S) all derivatives are powers of that of S, so that a = g^2 / (2 g^2 + g^3 sum A). The factor exp(S), which
    all places share, is left out. Chattopadhay et al., 2018, Grad-CAM++, equations 10, 15 and 19.
    """
    maps, down = activations_and_gradients(subject, x, target, layer)
    below = 2 * down**2 + down**3 * maps.sum(dim=(2, 3), keepdim=True)
    share = torch.where(below != 0, down**2 / torch.where(below != 0, below, 1), 0)
    weight = (share * down.relu()).sum(dim=(2, 3), keepdim=True)
    return (weight * maps).sum(dim=1).relu()


def pixel_gradients(subject: Subject, x: Tensor, target: Tensor) -> Tensor:
    """How the score changes with each pixel in [0, 1], or with each column, in the form of `x`."""
    return subject.gradients(x, target) / _deviation(subject, x)


def guided_gradients(subject: Subject, x: Tensor, target: Tensor) -> Tensor:
    """The same by guided backpropagation (Springenberg et al., 2015), in the form of `x`."""
    with backward_rule(GUIDED):
        return pixel_gradients(subject, x, target)


def strongest_channel(gradients: Tensor) -> Tensor:
    """The largest absolute value over the channels, (B, C, H, W) -> (B, H, W).

    Simonyan, Vedaldi and Zisserman, 2014, Deep Inside Convolutional Networks, section 3.1.
    """
    return gradients.abs().amax(dim=1)


class Scored(Protocol):
    """What gradients are taken of: a network, or one sequence within it."""

    def score(self, x: Tensor, target: Tensor, /) -> Tensor:
        """The raw score of one output for each input, (B,)."""

    def gradients(self, x: Tensor, target: Tensor, /) -> Tensor:
        """How that score changes with each number, in the form of `x`."""


def integrated(subject: Scored, x: Tensor, target: Tensor, baseline: Tensor, nodes: int) -> Tensor:
    """(x - b) times the mean gradient on the straight way from b to x, by Gauss and Legendre's rule; in the form of x.

    Sundararajan, Taly and Yan, 2017, Axiomatic Attribution for Deep Networks, equation 1.

    Args:
        subject: the network.
        x: standardised inputs (B, ...).
        target: the output of each, (B,).
        baseline: where the way begins, standardised, (B, ...) or (1, ...).
        nodes: points on the way.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    shares, counts = (points + 1) / 2, weights / 2
    found = []
    for place in range(len(x)):  # all points of one sample are a batch
        start, end = baseline[place % len(baseline)], x[place]
        at = torch.as_tensor(shares, dtype=x.dtype, device=x.device).view(-1, *[1] * end.ndim)
        gradients = subject.gradients(start + at * (end - start), target[place].expand(nodes))
        by = torch.as_tensor(counts, dtype=x.dtype, device=x.device).view(-1, *[1] * end.ndim)
        found.append((gradients * by).sum(dim=0) * (end - start))
    return torch.stack(found)


class Attributed(NamedTuple):
    """Integrated gradients, and how well they sum.

    Attributes:
        values: in the form of x.
        difference: of the scores of x and of the baseline, (B,).
        missed: by how many percent of it the sum misses it, (B,).
        nodes: points that were taken, (B,).
    """

    values: Tensor
    difference: Tensor
    missed: Tensor
    nodes: list[int]


def attributed(
    subject: Scored, x: Tensor, target: Tensor, baseline: Tensor, nodes: int = NODES, most: int = MOST_NODES
) -> Attributed:
    """Integrated gradients with twice the points, and again, where the sum misses the difference by more than `MISSED`.

    Args:
        subject: the network.
        x: standardised inputs (B, ...).
        target: the output of each, (B,).
        baseline: where the way begins, (B, ...) or (1, ...).
        nodes: points at first.
        most: points at most.
    """
    begun = baseline if len(baseline) == len(x) else baseline.expand(len(x), *x.shape[1:])
    difference = _scores(subject, x, target) - _scores(subject, begun, target)
    values = integrated(subject, x, target, baseline, nodes)
    taken = [nodes] * len(x)
    while True:
        apart = (values.flatten(1).sum(dim=1) - difference).abs()
        missed = 100 * apart / difference.abs().clamp_min(torch.finfo(x.dtype).tiny)
        missed = torch.where(apart <= 1e-6, 0, missed)
        again = [place for place in range(len(x)) if missed[place] > MISSED and 2 * taken[place] <= most]
        if not again:
            return Attributed(values, difference, missed, taken)
        for place in again:
            one = slice(place, place + 1)
            taken[place] *= 2
            values[one] = integrated(subject, x[one], target[one], begun[one], taken[place])


def _scores(subject: Scored, x: Tensor, target: Tensor) -> Tensor:
    """The score of one output for each input, (B,), without gradient."""
    pairs = zip(torch.split(x, BATCH), torch.split(target, BATCH), strict=True)
    with torch.no_grad():
        return torch.cat([subject.score(part, wanted) for part, wanted in pairs])


def smooth_gradients(
    subject: Subject, x: Tensor, target: Tensor, copies: int, seed: int = 0, places: list[int] | None = None
) -> Tensor:
    """The mean gradient of copies with Gaussian noise, whose deviation is `NOISE` of the range of the values of x.

    Smilkov et al., 2017, SmoothGrad, section 2.1. The noise follows from the seed and the sample's number alone.

    Args:
        subject: the network.
        x: standardised images (B, C, H, W).
        target: the output of each, (B,).
        copies: noisy images of each.
        seed: of the whole.
        places: the samples' numbers; None: 0, 1, 2 and so on.
    """
    found = []
    for place, number in enumerate(places or range(len(x))):
        image = x[place]
        drawn = normal(torch.tensor([number]), (copies, *image.shape), STREAM, seed)[0].to(x)
        noisy = image + drawn * (NOISE * (image.max() - image.min()))
        found.append(pixel_gradients(subject, noisy, target[place].expand(copies)).mean(dim=0))
    return torch.stack(found)


def _deviation(subject: Subject, x: Tensor) -> Tensor:
    """What a pixel in [0, 1] is divided by before the network takes it, (1, ...)."""
    zero = torch.zeros_like(x[:1])
    return subject.pixels(zero + 1) - subject.pixels(zero)


def without_detail(x: Tensor) -> Tensor:
    """Standardised images (B, C, H, W) without what an answer could come from: under a Gaussian whose deviation is
    `BLUR` of the shorter side, its border mirrored. Images below `SMALL` pixels, whose lines a blur leaves, become the
    mean colour, which is zero.
    """
    side = min(x.shape[2:])
    if side < SMALL:
        return torch.zeros_like(x)
    channels, deviation = x.shape[1], BLUR * side
    for axis in (2, 3):
        reach = min(round(3 * deviation), x.shape[axis] - 1)
        at = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
        kernel = torch.exp(-(at**2) / (2 * deviation**2))
        shape = [channels, 1, len(at), 1] if axis == 2 else [channels, 1, 1, len(at)]
        weights = (kernel / kernel.sum()).view(1, 1, *shape[2:]).expand(shape)
        pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        x = F.conv2d(F.pad(x, pad, "reflect"), weights, groups=channels)
    return x


def told_without_detail(x: Tensor) -> str:
    """What `without_detail` makes of such images, in words."""
    return "the mean colour" if min(x.shape[2:]) < SMALL else "the blurred image"


def baseline_of(x: Tensor) -> Tensor:
    """Where the way of integrated gradients begins, in the form of x: images without detail (Sturmfels, Lundberg and
    Lee, 2020, Visualizing the Impact of Feature Attribution Baselines); of rows zeros, the mean of each number.
    """
    return without_detail(x) if x.ndim == 4 else torch.zeros_like(x)


def told_sum(exhibit: Exhibit, found: Attributed, number: int) -> None:
    """Put the check of the sum among the numbers and into the note; a warning where it is not met."""
    total, difference = float(found.values[number].sum()), float(found.difference[number])
    missed = float(found.missed[number])
    exhibit.numbers |= {"sum": total, "difference": difference, "missed_percent": missed, "nodes": found.nodes[number]}
    exhibit.note += f" All values sum to {total:.4g}; the scores differ by {difference:.4g} ({missed:.2g}% apart)."
    if missed > MISSED:
        exhibit.warning = (
            f"The values sum to {total:.4g} and the scores differ by {difference:.4g}: with {found.nodes[number]} "
            f"steps {missed:.0f}% are missed, more than {MISSED:g}%."
        )


Maps = Callable[[Subject, Tensor, Tensor, str], Tensor]
Made = Callable[[Subject, Tensor, Tensor], Tensor]
"""Takes a network, standardised images and the output of each, and gives values (B, C, H, W) or maps (B, h, w)."""


def makers(subject: Subject, nodes: int) -> dict[str, Made]:
    """Of each method whose maps are compared, the function that makes them; what the network does not allow is left
    out.

    Args:
        subject: the network.
        nodes: points of integrated gradients.
    """
    found: dict[str, Made] = {}
    if last_layer(subject):
        found["grad_cam"] = partial(_of_last, make=grad_cam_maps)
        found["grad_cam_plus_plus"] = partial(_of_last, make=grad_cam_plus_plus_maps)
    found["gradients"] = pixel_gradients
    if not rectifies(subject):
        found["guided_backprop"] = guided_gradients
    found["integrated_gradients"] = partial(_integrated, nodes=nodes)
    found["smoothgrad"] = partial(smooth_gradients, copies=FEWER_NOISY)
    return found


def last_layer(subject: Subject) -> str:
    """The name of the last layer with maps before the scores; empty where there is none."""
    try:
        return subject.last_maps.name
    except CouloirError:
        return ""


def absolute_map(method: str, values: Tensor) -> Tensor:
    """What a method shows, without signs: of gradients the largest absolute value over the channels, of integrated
    gradients that of their sum; (B, ...) -> (B, h, w).
    """
    if values.ndim == 3:
        return values.abs()
    return signed_map(values).abs() if method == "integrated_gradients" else strongest_channel(values)


def signed_map(values: Tensor) -> Tensor:
    """The sum over the channels, (B, C, H, W) -> (B, H, W); maps stay as they are."""
    return values if values.ndim == 3 else values.sum(dim=1)


def _integrated(subject: Subject, x: Tensor, target: Tensor, nodes: int) -> Tensor:
    return integrated(subject, x, target, baseline_of(x), nodes)


def _of_last(subject: Subject, x: Tensor, target: Tensor, make: Maps) -> Tensor:
    return make(subject, x, target, subject.last_maps.name)
