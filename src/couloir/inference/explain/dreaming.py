"""What the network dreams: images that a class, a map or a unit answers to most, and images changed by a layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.artifacts.page import Cell, table
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_array
from couloir.inference.explain.heat import photograph
from couloir.inference.explain.subject import PASSING, Shown, Subject
from couloir.inference.explain.words import Wanted

STEPS, RATE, LAST_RATE = 160, 0.1, 0.01
"""Of maximisation: how many, and what a pixel moves by in a usual one, at first and at the end."""
SHIFT = 1 / 14
"""The share of the side by which the image is shifted at random, at most, before each step."""
VARIATION, DISTANCE = 0.5, 0.02
"""What total variation and the distance to grey count beside the answer, in lengths of its gradient."""
BLUR_EVERY, BLUR = 8, 0.6
"""Steps between two blurs, and the deviation of one in pixels; the last steps have none."""
BESIDE = 4
"""Classes, maps, units or starts side by side."""
DREAMT = 2
"""Images of which DeepDream makes others."""
OCTAVES, SCALE = 4, 1.4
"""Sizes of the image that DeepDream works at, and the ratio of two."""
DREAM_STEPS, DREAM_RATE, DREAM_SHIFT = 10, 0.006, 1 / 8
"""Of DeepDream in each size: steps, what a pixel moves by in a usual one, the random shift as a share of the side."""
SMALLEST = 16
"""Pixels of the shorter side of an octave at least."""
Objective = Callable[[Tensor], Tensor]
"""Standardised inputs (B, C, H, W) -> what is to grow of each, (B,)."""


class Reached(Exception):
    """The pass has come to the layer, and has all that it is for."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


def up_to(net: nn.Module, name: str, x: Tensor) -> Tensor:
    """What a layer gives for standardised inputs; what comes behind it is not computed, and need not fit their size."""

    def stop(module: nn.Module, inputs: Any, output: Any) -> None:
        raise Reached(output)

    hook = net.get_submodule(name).register_forward_hook(stop)
    try:
        net(x)
    except Reached as reached:
        return reached.output
    finally:
        hook.remove()
    raise CouloirError(f"No sample passes the layer '{name}'.")


def maximised(
    objective: Objective, standardised: Callable[[Tensor], Tensor], start: Tensor, seed: int, steps: int
) -> Tensor:
    """Images in [0, 1], (B, C, H, W), moved up the gradient of what is to grow.

    x <- x + gamma (g / |g| - v V / |V| - d D / |D|), where g is the gradient of the objective, V that of the total
    variation, D that of the squared distance to grey, and |.| the root of the mean square: gamma is what a pixel moves
    by. The image is shifted at random before each step and blurred now and then, so that it is not made of single
    pixels that the layers happen to answer to. Erhan et al., 2009, Visualizing Higher-Layer Features of a Deep Network;
    Simonyan et al., 2014, Deep Inside Convolutional Networks, section 2; Mahendran and Vedaldi, 2016, for total
    variation and jitter; Yosinski et al., 2015, for the blur.

    Args:
        objective: of standardised inputs.
        standardised: pixels as the network takes them.
        start: images in [0, 1].
        seed: what the shifts follow from.
        steps: how many.
    """
    drawn = torch.Generator().manual_seed(seed)
    x = start.clone()
    reach = [int(side * SHIFT) for side in x.shape[2:]]
    for step in range(steps):
        done = step / max(1, steps - 1)
        gamma = LAST_RATE + (RATE - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
        shift = [_draw(far, drawn) for far in reach]
        x = _ascended(objective, standardised, x.roll(shift, (2, 3)), gamma).roll([-by for by in shift], (2, 3))
        if min(x.shape[2:]) >= SMALLEST and step % BLUR_EVERY == BLUR_EVERY - 1 and done < 0.8:
            x = blurred(x, BLUR)
    return x


def _ascended(objective: Objective, standardised: Callable[[Tensor], Tensor], x: Tensor, gamma: float) -> Tensor:
    given = x.detach().requires_grad_()
    with torch.enable_grad():
        up = torch.autograd.grad(objective(standardised(given)).sum(), given)[0]
        rough = torch.autograd.grad(total_variation(given).sum(), given)[0]
    step = of_length_one(up) - VARIATION * of_length_one(rough) - DISTANCE * of_length_one(x - 0.5)
    return (x + gamma * step).clamp(0, 1)


def total_variation(x: Tensor) -> Tensor:
    """The sum of squared differences between neighbouring pixels, (B,), of images (B, C, H, W)."""
    across = x.diff(dim=2).square().flatten(1).sum(dim=1)
    return across + x.diff(dim=3).square().flatten(1).sum(dim=1)


def of_length_one(x: Tensor) -> Tensor:
    """Each image (B, C, H, W) divided by the root of its mean square; zeros stay zeros."""
    length = x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return torch.where(length > 0, x / length.clamp_min(torch.finfo(x.dtype).tiny), 0)


def blurred(x: Tensor, deviation: float) -> Tensor:
    """Images (B, C, H, W) blurred by a Gaussian of some pixels, mirrored at the borders."""
    far = max(1, round(3 * deviation))
    at = torch.arange(-far, far + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-at.square() / (2 * deviation**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, -1)
    x = F.conv2d(F.pad(x, (far, far, 0, 0), mode="reflect"), weights[:, :, None], groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, far, far), mode="reflect"), weights[..., None], groups=x.shape[1])


def dreamt(
    layer: Callable[[Tensor], Tensor], standardised: Callable[[Tensor], Tensor], pixels: Tensor, sizes: list[list[int]],
    seed: int,
) -> Tensor:  # fmt: skip
    """Images in [0, 1], (B, C, H, W), changed so that the mean square of a layer's activation grows.

    It works at one size after another; what it has added at a smaller size is enlarged and goes on growing. Mordvintsev
    et al., 2015, Inceptionism: Going Deeper into Neural Networks.

    Args:
        layer: what the layer gives for standardised inputs.
        standardised: pixels as the network takes them.
        pixels: images in [0, 1].
        sizes: [height, width] of each octave, the images' own last.
        seed: what the random shifts follow from.
    """
    drawn = torch.Generator().manual_seed(seed)
    added = torch.zeros_like(_resized(pixels, sizes[0]))
    x = pixels
    for size in sizes:
        base = _resized(pixels, size)
        x = (base + _resized(added, size)).clamp(0, 1)
        reach = [int(side * DREAM_SHIFT) for side in size]
        for _ in range(DREAM_STEPS):
            shift = [_draw(far, drawn) for far in reach]
            given = x.roll(shift, (2, 3)).detach().requires_grad_()
            with torch.enable_grad():
                strength = layer(standardised(given)).square().flatten(1).mean(dim=1)
                up = torch.autograd.grad(strength.sum(), given)[0]
            up = up / up.abs().mean(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(up.dtype).tiny)
            x = (given.detach() + DREAM_RATE * up).clamp(0, 1).roll([-by for by in shift], (2, 3))
        added = x - base
    return x


def maximisation(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Images that classes answer to most, or the maps and units of the layers that are named.

    Raises:
        CouloirError: a layer that is named has no unit of the number that is asked for.
    """
    if not wanted.layers:
        return [_classes(subject, shown, wanted)]
    return [_units(subject, shown, wanted, name) for name in wanted.layers]


def deep_dream(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The first images, changed by the layers that are named, or by one in the middle."""
    names = list(wanted.layers) or [_middle(subject)]
    pixels = shown.pixels[:DREAMT].clamp(0, 1)
    found = []
    for name in names:
        subject.layer(name)
        file = _file(name)
        layer = _stopping_at(subject, name)
        sizes, told = _sizes(subject, name, pixels)
        dreams = dreamt(layer, subject.standardised, pixels, sizes, wanted.seed)
        for place, dream in enumerate(dreams):
            pair = torch.stack([pixels[place], dream])
            with torch.no_grad():
                before, after = (float(layer(subject.standardised(each[None])).square().mean()) for each in pair)
            numbers = {"layer": name, "mean_square_before": before, "mean_square_after": after, "octaves": sizes}
            found.append(Exhibit(
                "deep_dream", f"DeepDream, {name}: {shown.names[place]}",
                f"The image, changed so that the layer {name} answers more strongly: the mean square of what it gives "
                f"grows from {before:.3g} to {after:.3g}. {DREAM_STEPS} steps along the gradient at each of {told}; a "
                f"pixel moves by {DREAM_RATE:g} in a usual step (Mordvintsev et al., 2015).",
                [
                    Panel(f"deep_dream_{place}_{file}_image", "the image", photograph(pixels[place])),
                    Panel(f"deep_dream_{place}_{file}", f"the dream of {name}", photograph(dream), as_array(dream)),
                ],
                numbers=numbers, sample=place, side=320,
            ))  # fmt: skip
    return found


class Sought(NamedTuple):
    """What an image is made for.

    Attributes:
        number: of the class, the map or the unit.
        told: what it is called.
        start: which of the starts it begins from.
    """

    number: int
    told: str
    start: int


def _classes(subject: Subject, shown: Shown, wanted: Wanted) -> Exhibit:
    """Images for the classes of the samples that are shown; for a single one from several starts."""
    numbers = list(dict.fromkeys(shown.target.tolist()))[:BESIDE]
    sought = [Sought(number, subject.name_of(number), 0) for number in numbers]
    if len(numbers) == 1:
        sought = [Sought(numbers[0], f"{subject.name_of(numbers[0])}, start {at + 1}", at) for at in range(BESIDE)]
    chosen = torch.tensor([each.number for each in sought], device=subject.device)

    def objective(x: Tensor) -> Tensor:
        return subject.score(x, chosen)

    what = "its score, what comes before the softmax," if subject.chooses else "its score"
    return _exhibit(subject, wanted, sought, objective, "Images that a class answers to most", what, "class")


def _units(subject: Subject, shown: Shown, wanted: Wanted, name: str) -> Exhibit:
    """Images for the strongest maps or units of a layer, or for the one that is asked for from several starts."""
    shape = subject.layer(name).shape
    kind = "map" if len(shape) == 3 else "unit"
    count = shape[0] if len(shape) == 3 else math.prod(shape)
    if wanted.unit is not None and not 0 <= wanted.unit < count:
        raise CouloirError(
            f"The layer {name} has {count:,} {kind}s, numbered from 0; there is no {wanted.unit}.",
            next_step=f"--unit {count - 1} is the last one",
        )
    if wanted.unit is not None:
        sought = [Sought(wanted.unit, f"{kind} {wanted.unit}, start {at + 1}", at) for at in range(BESIDE)]
    else:
        given = subject.outputs(shown.x[:1], name)
        strengths = given.flatten(2).norm(dim=2)[0] if len(shape) == 3 else given.flatten(1)[0]
        strongest = strengths.argsort(descending=True, stable=True)[:BESIDE].tolist()
        sought = [Sought(number, f"{kind} {number}", 0) for number in strongest]
    layer, chosen = _stopping_at(subject, name), torch.tensor([each.number for each in sought], device=subject.device)

    def objective(x: Tensor) -> Tensor:
        output = layer(x)
        places = torch.arange(len(x), device=x.device)
        if len(shape) == 3:
            length: Tensor = torch.linalg.vector_norm(output[places, chosen], dim=(1, 2))
            return length
        return output.flatten(1)[places, chosen]

    what = "the length of the map ||h||" if kind == "map" else "what the unit gives"
    return _exhibit(subject, wanted, sought, objective, f"Images that {kind}s of {name} answer to most", what, name)


def _exhibit(
    subject: Subject, wanted: Wanted, sought: list[Sought], objective: Objective, title: str, what: str, of: str
) -> Exhibit:
    shape = tuple(subject.empty().shape[1:])
    starts = [torch.rand(shape, generator=torch.Generator().manual_seed(wanted.seed + each.start)) for each in sought]
    start = torch.stack(starts).to(subject.device)
    found = maximised(objective, subject.standardised, start, wanted.seed, STEPS)
    with torch.no_grad():
        before, after = (objective(subject.standardised(each)).tolist() for each in (start, found))
    panels, rows, numbers = [], [], []
    for place, (each, low, high) in enumerate(zip(sought, before, after, strict=True)):
        name = f"maximisation_{_file(of)}_{each.number}" + (f"_start{each.start + 1}" if "start" in each.told else "")
        panels.append(
            Panel(name, f"{each.told}: {low:.3g} -> {high:.3g}", photograph(found[place]), as_array(found[place]))
        )
        rows.append([Cell(each.told), Cell(f"{low:.4g}", low, "number"), Cell(f"{high:.4g}", high, "number")])
        numbers.append({"of": of, "number": each.number, "name": each.told, "before": low, "after": high})
    note = (
        f"From noise, each pixel anywhere in [0, 1], {STEPS} steps along the gradient that make {what} grow. A pixel "
        f"moves by {RATE:g} in a usual step, at the end by {LAST_RATE:g}. Total variation counts {VARIATION:g} and the "
        f"distance to grey {DISTANCE:g} beside the gradient, each divided by its length; random shifts, and a blur "
        f"every {BLUR_EVERY} steps (Erhan et al., 2009; Simonyan et al., 2014; Yosinski et al., 2015). The noise "
        f"follows from --seed {wanted.seed}. Below each image: what it was and what it is."
    )
    html = table(("what", "of the noise", "of the image"), rows, "what the network gives before and after")
    return Exhibit(
        "maximisation", title, note, panels, html=html, numbers={"images": numbers, "steps": STEPS}, side=240
    )


def _stopping_at(subject: Subject, name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: up_to(subject.net, name, x)


def _middle(subject: Subject) -> str:
    """A layer with maps, half way between the image and the scores.

    Raises:
        CouloirError: no layer has maps.
    """
    inner = [met.name for met in subject.mapped if met.kind not in PASSING]
    if not inner:
        raise CouloirError(
            "No layer of the network has maps, which DeepDream makes grow.", next_step="--methods maximisation"
        )
    return inner[len(inner) // 2]


def _sizes(subject: Subject, name: str, pixels: Tensor) -> tuple[list[list[int]], str]:
    """The octaves that the layer can be asked at, and what they are in words."""
    own = list(pixels.shape[2:])
    octaves = [[round(side / SCALE**smaller) for side in own] for smaller in range(OCTAVES - 1, 0, -1)]
    able = []
    for size in octaves:
        if min(size) < SMALLEST:
            continue
        try:
            with torch.no_grad():
                up_to(subject.net, name, subject.standardised(_resized(pixels[:1], size)))
        except (RuntimeError, ValueError, IndexError):  # layers before it are made for one size
            continue
        able.append(size)
    sizes = [*able, own]
    if len(sizes) == 1:
        small = min(own) < SMALLEST * SCALE
        why = "a smaller image would have too few pixels" if small else "what comes before the layer takes no other"
        return sizes, f"one size, {own[0]} x {own[1]}, since {why}"
    return sizes, f"{len(sizes)} sizes from {sizes[0][0]} x {sizes[0][1]} to {own[0]} x {own[1]}"


def _resized(x: Tensor, size: list[int]) -> Tensor:
    """Images (B, C, H, W) at another size."""
    if list(x.shape[2:]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=size[0] < x.shape[2])


def _draw(far: int, drawn: torch.Generator) -> int:
    return int(torch.randint(-far, far + 1, (), generator=drawn))


def _file(name: str) -> str:
    """A layer's name in a file's."""
    return name.replace(".", "_")
