"""What the page says of changes that fool: pictures, numbers and rates against a network whose borders are planes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit
from couloir.inference.explain.fooling.fooled import deep_fool, fgsm, pgd, universal
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from looked_into import looked_into

SIDE, EPSILON = 6, 8 / 255


def planes(kind: str = "label") -> Subject:
    """Three classes of grey images, whose borders are planes; inputs are standardised."""
    linear = nn.Linear(SIDE * SIDE, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(3, SIDE * SIDE, generator=torch.Generator().manual_seed(0)) / 8)
        linear.bias.zero_()
    return looked_into(nn.Sequential(nn.Flatten(), linear), SIDE, kind, 0.4, 0.2, ["ant", "bee", "fly"])


def samples(subject: Subject, count: int, truth: list[int] | None = None) -> Shown:
    pixels = torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    x = subject.standardised(pixels)
    names = [f"{place}.png" for place in range(count)]
    return Shown(subject.pixels(x), x, subject.answers(x).argmax(dim=1), names, truth)


def asked(tmp_path: Path, **keys: object) -> Wanted:
    return Wanted(("fgsm",), tmp_path, epsilon=EPSILON, **keys)  # type: ignore[arg-type]


def answers(subject: Subject, exhibit: Exhibit) -> tuple[int, int, int]:
    """What the network says of an exhibit's image, of its changed image, and of the PNG of that."""
    image, _, fooled = exhibit.panels
    assert fooled.values is not None
    of = [image.picture / 255, fooled.values[0], fooled.picture / 255]
    pixels = torch.tensor(np.stack(of), dtype=torch.float32)[:, None]
    a, b, c = subject.answers(subject.standardised(pixels)).argmax(dim=1).tolist()
    return a, b, c


@pytest.mark.parametrize("method", [fgsm, pgd, deep_fool])
def test_the_saved_images_fool_as_it_is_said_of_them(method: object, tmp_path: Path) -> None:
    subject = planes()
    shown = samples(subject, 10)
    *each, whole = method(subject, shown, asked(tmp_path))  # type: ignore[operator]
    assert [exhibit.sample for exhibit in each] == list(range(8))
    panels = [panel for exhibit in each for panel in exhibit.panels]
    assert len({panel.name for panel in panels}) == len(panels) == 24
    for exhibit in each:
        before, after, png = answers(subject, exhibit)
        assert exhibit.numbers["fooled"] == (before != after)
        assert exhibit.numbers["png_fools"] == (before != png)
        assert subject.name_of(after) == exhibit.numbers["after"]
        change, fooled = exhibit.panels[1].values, exhibit.panels[2].values
        assert change is not None
        assert fooled is not None
        assert fooled.dtype == np.float32
        assert fooled.min() >= 0
        assert fooled.max() <= 1
        assert np.abs(change).max() == pytest.approx(exhibit.numbers["largest"])
        assert np.linalg.norm(change) == pytest.approx(exhibit.numbers["length"], rel=1e-5)
        if method is not deep_fool:
            assert exhibit.numbers["largest"] <= EPSILON
    assert whole.numbers["images"] == 10
    assert whole.numbers["fooled"] == pytest.approx(np.mean([row["fooled"] for row in whole.numbers["samples"]]))
    assert whole.numbers["fooled"] >= 0.3


def test_the_chart_begins_with_the_accuracy_and_falls_where_the_borders_are(tmp_path: Path) -> None:
    subject = planes()
    shown = samples(subject, 12)
    own = shown.target.tolist()
    shown.truth = [own[0], *((label + 1) % 3 for label in own[1:3]), *own[3:]]
    whole = pgd(subject, shown, asked(tmp_path))[-1]
    measured = whole.numbers["by_epsilon"]
    assert measured["measures"] == "accuracy"
    assert measured["FGSM"][0] == measured["PGD"][0] == pytest.approx(10 / 12)
    weight = subject.net[1].weight.double() / 0.2  # of pixels
    pixels = shown.pixels.flatten(1).double()
    for size, left in zip(measured["epsilon"], measured["PGD"], strict=True):
        stays = 0
        for place in (0, *range(3, 12)):
            scores = subject.scores(shown.x[place : place + 1]).double()[0]
            reached = False
            for other in {0, 1, 2} - {own[place]}:
                w = weight[other] - weight[own[place]]
                room = torch.where(w > 0, (1 - pixels[place]).clamp(max=size), pixels[place].clamp(max=size))
                reached |= bool(scores[other] - scores[own[place]] + (w.abs() * room).sum() > 0)
            stays += not reached
        assert left == pytest.approx(stays / 12, abs=1.01 / 12)  # a step along the sign need not find the best corner
    assert fgsm(subject, samples(subject, 3), asked(tmp_path))[-1].numbers["by_epsilon"]["measures"] != "accuracy"


def test_a_change_for_all_images_says_on_what_it_was_measured(tmp_path: Path) -> None:
    subject = planes()
    with pytest.raises(CouloirError, match="8 or more; 5 are named"):
        universal(subject, samples(subject, 5), asked(tmp_path))
    same = universal(subject, samples(subject, 9), asked(tmp_path))[0]
    assert "the same 9 images" in same.note
    shown = samples(subject, 40)
    found = universal(subject, shown, asked(tmp_path))[0]
    assert "measured on the other 20" in found.note
    change = found.panels[0].values
    assert change is not None
    assert np.abs(change.astype(np.float64)).max() <= EPSILON
    moved = subject.standardised((shown.pixels + torch.from_numpy(change)).clamp(0, 1))
    fooled = float((subject.answers(moved).argmax(dim=1) != shown.target).double().mean())
    rates = found.numbers["rates"]
    assert (rates["found_on"] + rates["measured_on"]) / 2 == pytest.approx(fooled)
    assert rates["measured_on"] > 0.2


def test_answers_that_are_no_class_are_refused_in_a_sentence(tmp_path: Path) -> None:
    subject = planes("value")
    with pytest.raises(CouloirError, match="does not choose one class"):
        fgsm(subject, samples(subject, 2), asked(tmp_path))
