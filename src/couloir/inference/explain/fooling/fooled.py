"""What fools the network: FGSM, PGD, DeepFool and one change for all images, each as pictures, answers and rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.page import Chart, facts
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_array, as_picture, in_bytes
from couloir.inference.explain.fooling import perturbation
from couloir.inference.explain.fooling.perturbation import Scores, added, likeliest
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import FULL, Wanted

SMALL, LARGE = 2 / 255, 10 / 255
"""The usual epsilon of a change for one image, and of one for all."""
STEPS = 10
"""Of PGD; each is a quarter of epsilon."""
MULTIPLES = (0, 0.25, 0.5, 1, 2, 4)
"""Of epsilon, in the chart."""
CHARTED, CHARTED_WITH_PGD = 128, 24
"""Images of the split that a chart is made of: PGD takes ten times as long."""
TO_FIND, TO_MEASURE = 200, 500
"""Images of the splits that a universal change is made of, and that it is measured on."""
LEAST, HELD_OUT = 8, 16
"""Images that a universal change needs, and from which on half of them are kept to measure it."""
Attack = Callable[[Tensor, Tensor, float], Tensor]
"""(pixels, labels, epsilon) -> changed pixels."""


def fgsm(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """One step along the sign of the gradient, at `wanted.epsilon`, and how answers fall with epsilon."""
    scores, epsilon, pixels = _scores(subject, "fgsm"), wanted.epsilon or SMALL, _inside(shown)

    def attack(pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return perturbation.fgsm(scores, pixels, labels, epsilon)

    note = (
        f"Each pixel moves by {_in_255ths(epsilon)} of its range at most, along the sign of the gradient of the loss "
        "(Goodfellow et al., 2015)."
    )
    changed = attack(pixels, likeliest(scores, pixels), epsilon)
    found = _attacked(subject, shown, "fgsm", "FGSM", note, changed)
    found[-1].charts.append(_chart(subject, shown, wanted, {"FGSM": attack}, epsilon, CHARTED, found[-1]))
    return found


def pgd(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Many such steps from a start that the seed draws, at `wanted.epsilon`, beside FGSM for several epsilons."""
    scores, epsilon, pixels = _scores(subject, "pgd"), wanted.epsilon or SMALL, _inside(shown)

    def attack(pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return perturbation.pgd(scores, pixels, labels, epsilon, STEPS, epsilon / 4, wanted.seed)

    def one_step(pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return perturbation.fgsm(scores, pixels, labels, epsilon)

    note = (
        f"{STEPS} steps of {_in_255ths(epsilon / 4)} along the sign of the gradient of the loss, from a random start, "
        f"each cut back to within {_in_255ths(epsilon)} of the image (Madry et al., 2018). The start follows from "
        f"--seed {wanted.seed}."
    )
    changed = attack(pixels, likeliest(scores, pixels), epsilon)
    found = _attacked(subject, shown, "pgd", "PGD", note, changed)
    attacks = {"FGSM": one_step, "PGD": attack}
    found[-1].charts.append(_chart(subject, shown, wanted, attacks, epsilon, CHARTED_WITH_PGD, found[-1]))
    return found


def deep_fool(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The smallest change, by Euclidean distance, that takes each image over a border between classes."""
    scores, pixels = _scores(subject, "deep_fool"), _inside(shown)
    note = (
        "The way to the nearest border between two of the ten likeliest classes, and "
        f"{100 * perturbation.OVERSHOOT:g}% further (Moosavi-Dezfooli et al., 2016). Its length is the root of the sum "
        "of squares over all pixels and channels, which lie in [0, 1]; epsilon has no part in it."
    )
    changed = perturbation.deep_fool(scores, pixels)
    found = _attacked(subject, shown, "deep_fool", "DeepFool", note, changed)
    lengths = (changed - pixels).flatten(1).norm(dim=1)
    relative = lengths / pixels.flatten(1).norm(dim=1).clamp_min(torch.finfo(lengths.dtype).tiny)
    found[-1].numbers |= {"mean_length": float(lengths.mean()), "mean_relative_length": float(relative.mean())}
    found[-1].html += facts([
        ("length of the change, mean", f"{float(lengths.mean()):.3g}"),
        ("as a share of the image's length", f"{100 * float(relative.mean()):.2g}%"),
    ])  # fmt: skip
    return found


def universal(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """One change for all images, `wanted.epsilon` at most in a pixel, and on what share of images it fools.

    Raises:
        CouloirError: there is no split, and there are fewer than `LEAST` inputs.
    """
    scores, epsilon = _scores(subject, "universal"), wanted.epsilon or LARGE
    found_on, measured_on, told = _universal_images(subject, shown, wanted)
    change = perturbation.universal(scores, found_on, epsilon, wanted.seed)
    rates = {}
    for name, images in (("found_on", found_on), ("measured_on", measured_on)):
        before, after = likeliest(scores, images), likeliest(scores, added(images, change, epsilon))
        rates[name] = float((before != after).double().mean())
        rates[f"{name}_images"] = len(images)
    usual, share = _usual(after, before)
    becomes = None if usual is None else subject.name_of(usual)
    pixels = _inside(shown)[:FULL]
    changed = added(pixels, change, epsilon)
    cases = _cases(subject, pixels, changed)
    largest = max(float(change.abs().max()), float(np.finfo(np.float32).tiny))
    panels = [Panel("universal_change", f"the change, {0.5 / largest:.0f} times enlarged", *_enlarged(change, largest))]
    for place, case in enumerate(cases):
        panels.append(
            Panel(f"universal_{place}_image", f"{shown.names[place]}: {case.said(False)}", as_picture(pixels[place]))
        )
        panels.append(
            Panel(
                f"universal_{place}_fooled",
                f"changed: {case.said(True)}",
                as_picture(changed[place]),
                as_array(changed[place]),
            )
        )
    stands = "" if subject.has_data or len(shown) >= HELD_OUT else " There were too few to keep some for it."
    numbers: dict[str, Any] = {
        "epsilon": epsilon, "rates": rates, "images": told, "leads_to": becomes, "leads_to_share": share,
        "samples": [case.numbers() for case in cases],
    }  # fmt: skip
    fooled = rates["measured_on"]
    return [Exhibit(
        "universal", "One change for all images",
        f"The same change, {_in_255ths(epsilon)} of a pixel's range at most, is added to every image (Moosavi-Dezfooli "
        f"et al., 2017; the search is that of Shafahi et al., 2020, {told}).{stands}",
        panels, [], facts([
            ("fooled", f"{100 * fooled:.0f}% of {len(measured_on):,} images"),
            ("of those it was found on", f"{100 * rates['found_on']:.0f}% of {len(found_on):,}"),
            *([(f"of the fooled become '{becomes}'", f"{100 * share:.0f}%")] if becomes is not None else []),
        ]), numbers,
    )]  # fmt: skip


class Case(NamedTuple):
    """What one image was answered with before and after.

    Attributes:
        before: the likeliest class before, and its probability.
        after: the same after.
        rounded: the likeliest class of the changed image rounded to 8 bits, as its PNG has it.
        largest: the most that a pixel moved.
        length: of the change, Euclidean.
        names: of the three classes.
    """

    before: tuple[int, float]
    after: tuple[int, float]
    rounded: int
    largest: float
    length: float
    names: tuple[str, str, str]

    @property
    def fooled(self) -> bool:
        """Whether the likeliest class is another."""
        return self.before[0] != self.after[0]

    @property
    def png_fools(self) -> bool:
        """Whether it is another for the PNG, too."""
        return self.before[0] != self.rounded

    def said(self, after: bool) -> str:
        """The answer in words."""
        return f"{self.names[int(after)]}, {100 * (self.after if after else self.before)[1]:.3g}%"

    def numbers(self) -> dict[str, Any]:
        """For `explain.json`."""
        return {
            "before": self.names[0], "p_before": self.before[1], "after": self.names[1], "p_after": self.after[1],
            "fooled": self.fooled, "png_fools": self.png_fools, "largest": self.largest, "length": self.length,
        }  # fmt: skip


def _scores(subject: Subject, method: str) -> Scores:
    """The scores of pixels in [0, 1].

    Raises:
        CouloirError: the answer is not one of several classes.
    """
    if not (subject.is_image and subject.chooses):
        raise CouloirError(
            f"{method} looks for a change that makes another class the likeliest, and this network does not choose one "
            "class for an image.",
            next_step="leave it out of --methods, or name a classifier of images",
        )
    gives_probabilities = getattr(subject.net, "output", "logits") == "probabilities"

    def scores(pixels: Tensor) -> Tensor:
        given = subject.scores(subject.standardised(pixels))
        return given.clamp_min(torch.finfo(given.dtype).tiny).log() if gives_probabilities else given

    return scores


def _attacked(subject: Subject, shown: Shown, method: str, title: str, note: str, changed: Tensor) -> list[Exhibit]:
    """The pictures of the first images, and at the end the rates of all of them."""
    pixels = _inside(shown)
    cases = _cases(subject, pixels, changed)
    found = []
    for place, case in enumerate(cases[:FULL]):
        panels = _panels(method, place, case, pixels[place], changed[place])
        name = f"{title}: {shown.names[place]}"
        found.append(Exhibit(method, name, panels=panels, numbers=case.numbers(), sample=place))
    fooled, png = (sum(getattr(case, name) for case in cases) for name in ("fooled", "png_fools"))
    more = (
        f" Of more than {FULL} images the pictures of the first are shown; rates are of all."
        if len(cases) > FULL
        else ""
    )
    html = facts([
        ("fooled: another class is the likeliest", f"{fooled} of {len(cases)}"),
        ("fooled by the PNG, whose pixels are rounded to 8 bits", f"{png} of {len(cases)}"),
    ])  # fmt: skip
    numbers: dict[str, Any] = {"images": len(cases), "fooled": fooled / len(cases), "png_fools": png / len(cases)}
    if len(cases) > FULL:
        numbers["samples"] = [case.numbers() for case in cases]
    return [*found, Exhibit(method, title, note + more, html=html, numbers=numbers)]


def _cases(subject: Subject, pixels: Tensor, changed: Tensor) -> list[Case]:
    """What the network answers to images before, after, and after rounding."""
    rounded = in_bytes(changed).float() / 255
    answers = [subject.answers(subject.standardised(each)) for each in (pixels, changed, rounded)]
    found = []
    for place in range(len(pixels)):
        likely = [int(answer[place].argmax()) for answer in answers]
        moved = (changed[place] - pixels[place]).double()
        found.append(Case(
            (likely[0], float(answers[0][place].max())), (likely[1], float(answers[1][place].max())), likely[2],
            float(moved.abs().max()), float(moved.norm()),
            (subject.name_of(likely[0]), subject.name_of(likely[1]), subject.name_of(likely[2])),
        ))  # fmt: skip
    return found


def _panels(method: str, place: int, case: Case, pixels: Tensor, changed: Tensor) -> list[Panel]:
    """An image, its change, and what came out, side by side."""
    moved = changed - pixels
    largest = max(float(moved.abs().max()), float(np.finfo(np.float32).tiny))
    times = f"{0.5 / largest:.0f} times enlarged" if case.largest > 0 else "nothing"
    undone = "; its PNG does not fool" if case.fooled and not case.png_fools else ""
    return [
        Panel(f"{method}_{place}_image", case.said(False), as_picture(pixels)),
        Panel(f"{method}_{place}_change", f"the change, {times}", *_enlarged(moved, largest)),
        Panel(
            f"{method}_{place}_fooled", f"changed: {case.said(True)}{undone}", as_picture(changed), as_array(changed)
        ),
    ]


def _chart(
    subject: Subject,
    shown: Shown,
    wanted: Wanted,
    attacks: Mapping[str, Attack],
    epsilon: float,
    most: int,
    into: Exhibit,
) -> Chart:
    """How many answers are right, or stay the same where the truth is not known, for several epsilons.

    An image that a smaller epsilon fools counts as fooled for all larger ones: it is within them as well.
    """
    scores = _scores(subject, into.method)
    pixels, truth, of = _images(subject, shown, wanted.split, min(most, wanted.most))
    own = likeliest(scores, pixels)
    right = torch.ones_like(own, dtype=torch.bool) if truth is None else own == truth
    told = "images with the same answer" if truth is None else "accuracy"
    sizes = [multiple * epsilon for multiple in MULTIPLES]
    traces, numbers = [], {}
    for at, (name, attack) in enumerate(attacks.items()):
        stays, shares = right.clone(), []
        for size in sizes:
            open_ = stays.nonzero()[:, 0]
            if size > 0 and len(open_):
                changed = attack(pixels[open_], own[open_], size)
                stays[open_] = likeliest(scores, changed) == own[open_]
            shares.append(float(stays.double().mean()))
        numbers[name] = shares
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": name, "x": [255 * size for size in sizes], "y": shares,
            "line": {"color": f"--c{at}", "width": 1.8},
            "hovertemplate": f"{name}, epsilon %{{x}}/255: %{{y}}<extra></extra>",
        })  # fmt: skip
    into.numbers["by_epsilon"] = {"epsilon": sizes, "images": len(pixels), "of": of, "measures": told, **numbers}
    into.note += f" The chart is of {len(pixels)} images ({of}); who is fooled by less is fooled by more."
    layout = {
        "xaxis": {"title": {"text": "epsilon, in 255ths of a pixel's range"}},
        "yaxis": {"title": {"text": told}, "range": [0, 1.02]},
        "showlegend": True,
    }
    return Chart(traces, layout, f"{told} against epsilon: {' and '.join(attacks)}", 300, max_width=620)


def _images(subject: Subject, shown: Shown, split: str, most: int) -> tuple[Tensor, Tensor | None, str]:
    """Images of a split with their classes; where there is no data, those that are shown, and their classes if all are
    known; and what they are, in words.
    """
    if subject.has_data:
        batches = [(subject.pixels(x).clamp(0, 1), y) for x, y, _ in subject.split(split, most)]
        truth = [y for _, y in batches if y is not None]
        classes = torch.cat(truth) if len(truth) == len(batches) else None
        return torch.cat([x for x, _ in batches]), classes, f"of the split {split}"
    known = shown.truth is not None and all(label >= 0 for label in shown.truth)
    labels = torch.tensor(shown.truth, device=subject.device) if known else None
    return _inside(shown)[:most], None if labels is None else labels[:most], "those that are shown"


def _universal_images(subject: Subject, shown: Shown, wanted: Wanted) -> tuple[Tensor, Tensor, str]:
    """What a universal change is found on and measured on, and what these are in words."""
    if subject.has_data:
        other = "val" if wanted.split == "train" else wanted.split
        find = _images(subject, shown, "train", min(wanted.most, TO_FIND))[0]
        measure = _images(subject, shown, other, min(wanted.most, TO_MEASURE))[0]
        return find, measure, f"found on {len(find)} images of the split train, measured on {len(measure)} of {other}"
    count = len(shown)
    if count < LEAST:
        raise CouloirError(
            f"A change for all images is found on {LEAST} or more; {count} {'is' if count == 1 else 'are'} named, and "
            "there is no split of the data.",
            next_step=f"name {LEAST} or more images or a folder of them, or data.root=FOLDER",
        )
    if count < HELD_OUT:
        return _inside(shown), _inside(shown), f"found and measured on the same {count} images"
    places = torch.randperm(count, generator=torch.Generator().manual_seed(wanted.seed)).to(subject.device)
    find, measure = _inside(shown)[places[: count // 2]], _inside(shown)[places[count // 2 :]]
    return find, measure, f"found on {len(find)} of the images, measured on the other {len(measure)}"


def _usual(after: Tensor, before: Tensor) -> tuple[int | None, float]:
    """The class that most fooled images become, and their share among the fooled."""
    fooled = after[after != before]
    if not len(fooled):
        return None, 0.0
    counts = fooled.bincount()
    return int(counts.argmax()), float(counts.max() / len(fooled))


def _inside(shown: Shown) -> Tensor:
    """The images, (N, C, H, W), without what rounding has put outside [0, 1]."""
    return shown.pixels.clamp(0, 1)


def _in_255ths(size: float) -> str:
    return f"{255 * size:.3g}/255"


def _enlarged(change: Tensor, largest: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A change as a picture in which grey is none, and its values."""
    return as_picture(0.5 + change / (2 * largest)), as_array(change)
