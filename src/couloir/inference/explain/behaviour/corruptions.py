"""How many answers stay right when photographs are made worse: noise, blur, weather, contrast, JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.artifacts.page import Cell, Chart, facts, label, table
from couloir.errors import CouloirError
from couloir.inference.explain.behaviour.corrupted import GROUPS, KINDS, SEVERITIES, SMALL, corrupted, generator
from couloir.inference.explain.behaviour.moving import strip
from couloir.inference.explain.exhibit import Exhibit, Panel
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted

LARGE = 40
"""Larger images that are made worse at most: each in 75 ways takes some seconds."""


class Sample(NamedTuple):
    """One image, and what is right for it.

    Attributes:
        number: its place in the split, or among the pictures that are shown: its draws follow from it.
        pixels: (C, H, W) in [0, 1].
        right: the class that counts as right: the truth, or what is said of the image as it is.
    """

    number: int
    pixels: Tensor
    right: int


def robustness(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Right or unchanged answers by kind and severity, over some of the split where the data is there, else over the
    pictures that are shown.

    Raises:
        CouloirError: the inputs are no images, or the answers are no classes.
    """
    if not (subject.is_image and subject.chooses):
        raise CouloirError(
            "Robustness counts right answers for images that are made worse, and this run does not say classes of "
            "images.",
            next_step="leave the method out",
        )
    samples, is_true, told = _samples(subject, shown, wanted)
    clean, shares = measure(subject, samples, wanted.seed)
    count = len(samples)
    of = "right answers" if is_true else "answers that stay as they are"
    errors = 1 - shares.mean(axis=1)
    mean = float(errors.mean())
    numbers: dict[str, Any] = {
        "samples": count, "counts": "right" if is_true else "unchanged", "clean": clean,
        "shares": {kind: shares[place].tolist() for place, kind in enumerate(KINDS)},
        "mean_corruption_error": mean, "clean_error": 1 - clean, "relative_mean_corruption_error": mean - (1 - clean),
    }  # fmt: skip
    note = (
        f"The share of {of} by kind and severity, over {told}. The kinds and numbers are those of "
        f"{'CIFAR-10-C' if max(samples[0].pixels.shape[1:]) <= SMALL else 'ImageNet-C'} (Hendrycks and Dietterich, "
        "2019), lengths in proportion to the image; frost is a stand-in for the authors' photographs. Their mCE "
        "divides by the errors of AlexNet; here it is the plain mean over all kinds and severities."
    )
    summary = facts([
        (f"{of}, clean", f"{clean:.1%}"), (f"{of}, mean of all", f"{1 - mean:.1%}"),
        ("mean corruption error", f"{mean:.1%}"), ("more than clean", f"{mean - (1 - clean):+.1%}"),
    ])  # fmt: skip
    html = summary + _table(shares, errors)
    whole = Exhibit("robustness", "When the picture gets worse", note, charts=_charts(clean, shares, of), html=html,
                    numbers=numbers)  # fmt: skip
    return [whole, _pictures(subject, shown, wanted.seed)]


def measure(subject: Subject, samples: list[Sample], seed: int) -> tuple[float, NDArray[np.float64]]:
    """The share of right answers for the images as they are, and by kind and severity, (15, 5)."""
    right, clean = np.zeros((len(KINDS), len(SEVERITIES))), 0
    for sample in samples:
        worse = [picture for kind in KINDS for picture in versions(sample.pixels, kind, seed, sample.number)]
        pictures = torch.stack([sample.pixels.cpu(), *worse]).to(subject.device)
        same = subject.answers(subject.standardised(pictures)).argmax(dim=1).cpu().numpy() == sample.right
        clean += int(same[0])
        right += same[1:].reshape(right.shape)
    return clean / len(samples), right / len(samples)


def versions(pixels: Tensor, kind: str, seed: int, number: int) -> list[Tensor]:
    """An image (C, H, W) in [0, 1] in the five severities of a kind."""
    image = pixels.detach().cpu().permute(1, 2, 0).numpy().astype(np.float64)
    made = (corrupted(image, kind, severity, generator(seed, number, kind, severity)) for severity in SEVERITIES)
    return [torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32)) for picture in made]


def _samples(subject: Subject, shown: Shown, wanted: Wanted) -> tuple[list[Sample], bool, str]:
    """What is made worse, whether its truth is known, and what it is."""
    large = max(shown.pixels.shape[2:]) > SMALL
    most = min(wanted.most, LARGE) if large else wanted.most
    if subject.has_data:
        found = list(_of_split(subject, wanted.split, most))
        return found, True, f"{len(found)} samples from all over the split {wanted.split}"
    shown = shown.part(range(min(most, len(shown))))
    is_true = shown.truth is not None and all(truth >= 0 for truth in shown.truth)
    right = shown.truth if is_true and shown.truth is not None else subject.answers(shown.x).argmax(dim=1).tolist()
    found = [Sample(at, shown.pixels[at], right[at]) for at in range(len(shown))]
    told = "the picture that is shown" if len(found) == 1 else f"{len(found)} pictures that are shown"
    return found, is_true, told


def _of_split(subject: Subject, split: str, most: int) -> Iterator[Sample]:
    for x, target, places in subject.split(split, most):
        assert target is not None
        classes = target if target.ndim == 1 else target.argmax(dim=1)
        for place, pixels, right in zip(places, subject.pixels(x).clamp(0, 1), classes.tolist(), strict=True):
            yield Sample(place, pixels, right)


def _charts(clean: float, shares: NDArray[np.float64], of: str) -> list[Chart]:
    """A chart a group, a line a kind, from the clean images on."""
    charts = []
    for group, kinds in GROUPS.items():
        traces = [
            {
                "type": "scatter", "mode": "lines+markers", "x": [0, *SEVERITIES], "marker": {"size": 5},
                "y": [clean, *shares[KINDS.index(kind)].tolist()], "name": label(in_words(kind)),
                "line": {"color": f"--c{place}"},
            }
            for place, kind in enumerate(kinds)
        ]  # fmt: skip
        layout = {"xaxis": {"title": {"text": f"{group}, severity"}, "dtick": 1},
                  "yaxis": {"title": {"text": label(of)}, "range": [0, 1.05]}}  # fmt: skip
        charts.append(Chart(traces, layout, f"{of} by severity: {group}"))
    return charts


def _table(shares: NDArray[np.float64], errors: NDArray[np.float64]) -> str:
    rows = []
    for place, kind in enumerate(KINDS):
        cells = [Cell(f"{share:.1%}", float(share), "number") for share in shares[place]]
        rows.append([Cell(in_words(kind)), *cells, Cell(f"{errors[place]:.1%}", float(errors[place]), "number")])
    columns = ["kind", *(f"severity {severity}" for severity in SEVERITIES), "mean error"]
    return table(columns, rows, "shares by kind and severity")


def _pictures(subject: Subject, shown: Shown, seed: int) -> Exhibit:
    """The first picture that is shown, under each kind, and what the network says of it."""
    target = int(shown.target[0])
    panels = []
    for kind in KINDS:
        pictures = torch.stack(versions(shown.pixels[0], kind, seed, 0))
        answers = subject.answers(subject.standardised(pictures.to(subject.device)))
        said = ", ".join(f"{value:.2f}" for value in answers[:, target].tolist())
        told = f"{in_words(kind)}, severity 1 to 5; {subject.name_of(target)}: {said}"
        panels.append(Panel(f"robustness_0_{kind}", told, strip(pictures), pictures.numpy()))
    name = shown.names[0] if shown.names else "The first picture"
    return Exhibit("robustness", f"{name}, made worse", "Below each: the answer for the same output.", panels=panels,
                   sample=0, side=500)  # fmt: skip


def in_words(kind: str) -> str:
    """What a kind is called on the page."""
    return {"jpeg": "JPEG", "frost": "frost (stand-in)"}.get(kind, kind.replace("_", " "))
