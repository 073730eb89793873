"""Small changes of images that change a network's answer. Pixels lie in [0, 1], before and after.

The network is a function of pixels, (B, C, H, W) -> scores (B, K), through which gradients pass. A network is fooled
where its likeliest class changes; what that class should be is not asked.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.augmentation.adversarial import sign_steps

Scores = Callable[[Tensor], Tensor]
AT_ONCE = 32
"""Images that pass the network at a time."""
OVERSHOOT = 0.02
"""How much further than to the border DeepFool goes, as in its paper."""
A_FEW = 8
"""Images of one step of the search for a universal change."""
STRIDES = 5
"""Steps of that search from no change to the largest."""
CLIPPED = 9.0
"""What the cross-entropy of an image counts at most there, so that one that is fooled already counts no more."""


def likeliest(scores: Scores, pixels: Tensor) -> Tensor:
    """The likeliest class of each image, (B,) int64."""
    with torch.no_grad():
        return torch.cat([scores(part).argmax(dim=1) for part in torch.split(pixels, AT_ONCE)])


def ball(pixels: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The least and the most that each pixel may become: within epsilon of what it is, and within [0, 1].

    Both are rounded inwards, so that the difference to a pixel is epsilon at most, to the last bit.
    """
    exact = pixels.double()
    least = -_not_above((epsilon - exact).clamp(max=0), pixels.dtype)
    return least, _not_above((exact + epsilon).clamp(max=1), pixels.dtype)


def _not_above(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Float64 numbers as the nearest of a shorter type that are not above them."""
    short = values.to(dtype)
    return torch.where(short.double() > values, torch.nextafter(short, torch.full_like(short, -torch.inf)), short)


def towards_others(scores: Scores, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The direction in which the cross-entropy of some classes grows, (B, C, H, W) for pixels of that form.

    It is the gradient of log((1 - p) / p), of which the cross-entropy, -log p, is a growing function: both have the
    same sign everywhere, and this one does not vanish where p is rounded to 1.
    """

    def gradient(pixels: Tensor) -> Tensor:
        given = pixels.detach().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(odds_against(scores(given), labels).sum(), given)[0]

    return gradient


def odds_against(scores: Tensor, labels: Tensor) -> Tensor:
    """log((1 - p) / p) of some classes, (B,), of scores (B, K); their cross-entropy is log(1 + exp) of it."""
    own = scores.gather(1, labels[:, None])
    return scores.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1) - own[:, 0]


def fgsm(scores: Scores, pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """One step of epsilon along the sign of the loss's gradient: images (B, C, H, W).

    Goodfellow et al., 2015, Explaining and Harnessing Adversarial Examples, section 4.

    Args:
        scores: the network.
        pixels: images in [0, 1], (B, C, H, W).
        labels: the classes whose loss grows, (B,).
        epsilon: how far a pixel may move.
    """
    return pgd(scores, pixels, labels, epsilon, steps=1, step=epsilon, seed=None)


def pgd(
    scores: Scores, pixels: Tensor, labels: Tensor, epsilon: float, steps: int, step: float, seed: int | None
) -> Tensor:
    """Several steps along the sign of the loss's gradient, each cut back to within epsilon of the image.

    Madry et al., 2018, Towards Deep Learning Models Resistant to Adversarial Attacks, section 2.1.

    Args:
        scores: the network.
        pixels: images in [0, 1], (B, C, H, W).
        labels: the classes whose loss grows, (B,).
        epsilon: how far a pixel may move.
        steps: how many.
        step: the length of a step in each pixel.
        seed: what the start, anywhere within epsilon, follows from; None: the image itself.
    """
    low, high = ball(pixels, epsilon)
    start = pixels
    if seed is not None:
        drawn = torch.rand(pixels.shape, generator=torch.Generator().manual_seed(seed), dtype=pixels.dtype)
        start = torch.minimum(torch.maximum(low + drawn.to(pixels.device) * (high - low), low), high)
    parts = zip(*(torch.split(each, AT_ONCE) for each in (start, labels, low, high)), strict=True)
    return torch.cat([
        sign_steps(towards_others(scores, own), part, step, steps, least, most) for part, own, least, most in parts
    ])  # fmt: skip


def deep_fool(
    scores: Scores, pixels: Tensor, classes: int = 10, steps: int = 50, overshoot: float = OVERSHOOT
) -> Tensor:
    """Images (B, C, H, W) just behind the nearest border to another class, by Euclidean distance.

    In each step every border is taken for the plane that touches the scores, and the image moves to the nearest one.
    Moosavi-Dezfooli et al., 2016, DeepFool, algorithm 2. Here a pixel that is 0 or 1 moves inwards alone, so that the
    images stay images. One that is not fooled after all steps is given as it is then.

    Args:
        scores: the network.
        pixels: images in [0, 1], (B, C, H, W).
        classes: how many of the likeliest classes there are borders between.
        steps: at most.
        overshoot: the share by which the change is longer than the way to the border.
    """
    return torch.cat([_past_border(scores, part, classes, steps, overshoot) for part in torch.split(pixels, AT_ONCE)])


def _past_border(scores: Scores, pixels: Tensor, classes: int, steps: int, overshoot: float) -> Tensor:
    with torch.no_grad():
        ranked = scores(pixels).argsort(dim=1, descending=True)[:, :classes]
    found = pixels.clone()
    open_ = torch.arange(len(pixels), device=pixels.device)
    for _ in range(steps):
        x = found[open_].requires_grad_()
        with torch.enable_grad():
            given = scores(x)
            still = (given.argmax(dim=1) == ranked[open_, 0]).nonzero()[:, 0]
            if not len(still):
                break
            ahead = given.gather(1, ranked[open_])
            ahead = ahead[:, 1:] - ahead[:, :1]
            way = _shortest(x, ahead)[still]
        open_ = open_[still]
        whole = (found[open_] - pixels[open_]) / (1 + overshoot) + way
        found[open_] = (pixels[open_] + (1 + overshoot) * whole).clamp(0, 1)
    return found


def _shortest(x: Tensor, ahead: Tensor) -> Tensor:
    """The step from each image to the nearest of its borders, (B, C, H, W).

    Args:
        x: images, (B, C, H, W).
        ahead: how far each other class is above the likeliest, (B, K), computed of x; 0 is the border.
    """
    nearest = torch.full((len(x),), torch.inf, device=x.device, dtype=x.dtype)
    way = torch.zeros_like(x)
    for other in range(ahead.shape[1]):
        w = torch.autograd.grad(ahead[:, other].sum(), x, retain_graph=True)[0]
        w = w.masked_fill(((x <= 0) & (w < 0)) | ((x >= 1) & (w > 0)), 0)
        square = w.square().flatten(1).sum(dim=1)
        length = ahead[:, other].detach().abs()
        distance = torch.where(square > 0, length / square.sqrt(), torch.inf)
        closer = distance < nearest
        nearest = torch.where(closer, distance, nearest)
        factor = torch.where(square > 0, length / square, 0)
        way = torch.where(closer[:, None, None, None], factor[:, None, None, None] * w, way)
    return way


def universal(scores: Scores, pixels: Tensor, epsilon: float, seed: int, passes: int = 5) -> Tensor:
    """One change (C, H, W) that is added to every image, epsilon at most in each pixel, and fools on most of them.

    Such changes are those of Moosavi-Dezfooli et al., 2017, Universal Adversarial Perturbations, who add up what
    DeepFool finds for thousands of images. Here the search is that of Shafahi et al., 2020, Universal Adversarial
    Training, section 3: steps along the sign of the gradient of the cross-entropy of a few images, of which each counts
    `CLIPPED` at most. It needs far fewer images. `added` adds the change.

    Args:
        scores: the network.
        pixels: images in [0, 1], (B, C, H, W).
        epsilon: the most of the change in a pixel.
        seed: what the order of the images follows from.
        passes: over the images.
    """
    own = likeliest(scores, pixels)
    most = _not_above(torch.tensor(epsilon, dtype=torch.float64, device=pixels.device), pixels.dtype)
    drawn = torch.Generator().manual_seed(seed)
    change = torch.zeros_like(pixels[0])
    for _ in range(passes):
        for places in torch.split(torch.randperm(len(pixels), generator=drawn), A_FEW):
            at = places.to(pixels.device)

            def gradient(change: Tensor, at: Tensor = at) -> Tensor:
                given = change.detach().requires_grad_()
                with torch.enable_grad():
                    odds = odds_against(scores((pixels[at] + given).clamp(0, 1)), own[at])
                    loss = F.softplus(odds.double()).clamp(max=CLIPPED).sum()
                    return torch.autograd.grad(loss, given)[0]

            change = sign_steps(gradient, change, epsilon / STRIDES, 1, -most, most)
    return change


def added(pixels: Tensor, change: Tensor, epsilon: float) -> Tensor:
    """Images (B, C, H, W) with one change (C, H, W), within [0, 1] and within epsilon of what they were."""
    low, high = ball(pixels, epsilon)
    return torch.minimum(torch.maximum(pixels + change, low), high)
