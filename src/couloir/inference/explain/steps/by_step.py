"""Which steps of a sequence an answer goes by: gradients, integrated gradients, and what happens without a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_array
from couloir.inference.explain.heat import laid_over, photograph
from couloir.inference.explain.steps.drawing import coloured, plate, series
from couloir.inference.explain.steps.sequences import Inside, OverSteps, ShownSequences
from couloir.inference.explain.subject import BATCH, Shown, Subject
from couloir.inference.explain.where.attribution import attributed, told_sum
from couloir.inference.explain.words import TOKENS, VIDEO, Wanted

NODES, MOST_NODES = 32, 256
"""Points of the path of integrated gradients, at first and at most: vectors of tokens need more than images."""
NARROW = 6.4
"""Inches of a plate that stands beside that of another sample."""
STRONGEST = 10
"""Steps that are named in `explain.json` beside the file that has all."""


def gradients(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """How much the score changes with each step: with the vector of a token, with each number of a series, with each
    pixel of a frame.
    """
    note = {
        TOKENS: "How much the score changes with a token: the length of the gradient for its vector (Li et al., 2016).",
        VIDEO: "How much the score changes with each pixel of a frame: the largest absolute value over the colours "
        "(Simonyan, Vedaldi and Zisserman, 2014). All frames share their colours.",
    }.get(subject.kind, "How much the score changes when a number of the series grows by one deviation of the "
          "training split.")  # fmt: skip
    found = []
    for number, sample in enumerate(_sequences(shown).samples):
        inside = Inside(_over(subject), sample)
        values = inside.of_steps(inside.gradients(inside.values, shown.target[number : number + 1]))[0]
        if subject.kind == TOKENS:
            values = values.norm(dim=-1)
        elif subject.kind == VIDEO:
            values = values.abs().amax(dim=0)
        found.append(_exhibit("gradients", "Gradients", note, subject, shown, number, values, subject.kind != TOKENS))
    return found


def gradient_x_input(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The gradient times what it is of: what a step adds, as far as the network is linear (Shrikumar et al., 2016)."""
    note = (
        "The gradient times the number that it is of: what each step adds to the score, as far as the network is "
        "linear (Shrikumar et al., 2016). Red raises the score, blue lowers it."
    )
    found = []
    for number, sample in enumerate(_sequences(shown).samples):
        inside = Inside(_over(subject), sample)
        product = inside.gradients(inside.values, shown.target[number : number + 1]) * inside.values
        values = _summed(inside.of_steps(product)[0], subject.kind)
        found.append(_exhibit("gradient_x_input", "Gradient × input", note, subject, shown, number, values, True))
    return found


def integrated_gradients(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """Integrated gradients by step, with the check of their sum."""
    begin = {TOKENS: "no token at all (vectors of zeros)", VIDEO: "frames of the mean colour"}.get(
        subject.kind, "a series that is its mean always"
    )
    found = []
    for number, sample in enumerate(_sequences(shown).samples):
        inside = Inside(_over(subject), sample)
        target = shown.target[number : number + 1]
        made = attributed(inside, inside.values, target, inside.baseline(), NODES, MOST_NODES)
        note = (
            f"What each step adds to the score on the way from {begin} to the sequence, in {made.nodes[0]} steps "
            "(Sundararajan, Taly and Yan, 2017). Red raises the score, blue lowers it."
        )
        values = _summed(inside.of_steps(made.values)[0], subject.kind)
        exhibit = _exhibit("integrated_gradients", "Integrated gradients", note, subject, shown, number, values, True)
        told_sum(exhibit, made, 0)
        found.append(exhibit)
    return found


def occlusion(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """How much the score falls without a step: a token is left out, a number of steps of a series becomes the mean.

    Raises:
        CouloirError: all of the texts have one token.
    """
    note = {
        TOKENS: "By how much the score falls when a token is left out and the others move together (Li, Monroe and "
        "Jurafsky, 2016). Red: it fell, the token spoke for the answer; blue: it rose.",
        VIDEO: "By how much the score falls when a frame becomes the mean colour.",
    }.get(subject.kind, "By how much the score falls when all numbers of a step become their means. Red: it fell, the "
          "step spoke for the answer; blue: it rose.")  # fmt: skip
    found, over = [], _over(subject)
    for number, sample in enumerate(_sequences(shown).samples):
        if subject.kind == TOKENS and sample.shape[1] < 2:
            continue
        target = shown.target[number]
        values = without_each(over, sample, target)
        exhibit = _exhibit("occlusion", "Without a step", note, subject, shown, number, values, True)
        exhibit.numbers["score"] = float(_score(over, sample, target)[0])
        found.append(exhibit)
    if not found:
        raise CouloirError(
            "Texts of one token have nothing left when it is left out.", next_step="leave the method occlusion out"
        )
    return found


def without_each(subject: OverSteps, x: Tensor, target: Tensor) -> Tensor:
    """By how much the score falls without each step, (t,).

    Args:
        subject: the network.
        x: one sequence (1, t, ...); of tokens t is at least 2.
        target: the output.
    """
    steps, whole = x.shape[subject.axis], _score(subject, x, target)
    scores = []
    for places in torch.split(torch.arange(steps), BATCH):
        if subject.kind == TOKENS:
            kept = [torch.cat([x[:, :at], x[:, at + 1 :]], dim=1) for at in places.tolist()]
            changed = torch.cat(kept)
        else:
            changed = x.repeat(len(places), *[1] * (x.ndim - 1))
            for row, at in enumerate(places.tolist()):
                changed[row].select(subject.axis - 1, at).zero_()  # the mean, as inputs are standardised
        scores.append(_score(subject, changed, target))
    return whole - torch.cat(scores)


def _score(subject: OverSteps, x: Tensor, target: Tensor) -> Tensor:
    with torch.no_grad():
        return subject.score(x, target.expand(len(x)))


def _summed(values: Tensor, kind: str) -> Tensor:
    """Over the numbers of a token's vector, (t, D) -> (t,); over the colours of a pixel, (C, t, H, W) -> (t, H, W);
    numbers of a series stay.
    """
    return values.sum(dim=-1) if kind == TOKENS else values.sum(dim=0) if kind == VIDEO else values


def _exhibit(
    method: str, title: str, note: str, subject: Subject, shown: Shown, number: int, values: Tensor, signed: bool
) -> Exhibit:
    """What a method gives for a sample: a number a token (t,), numbers of a series (t,) or (t, F), or maps of frames
    (t, H, W) or (t,).
    """
    over, sample = _over(subject), _sequences(shown).samples[number]
    output = subject.name_of(int(shown.target[number]))
    exhibit = Exhibit(method, f"{title}: {output}", note, sample=number, side=520)
    found = as_array(values)
    name = f"{method}_{number}"
    if subject.kind == TOKENS:
        words = over.words(sample)
        exhibit.html = coloured(words, found, stand_apart(over))
        exhibit.arrays[name] = found
        exhibit.numbers = {"output": output, "strongest": _strongest(found, words)}
    elif subject.kind == VIDEO:
        signed = signed and method != "gradients"
        exhibit.panels = [_frames(over, sample, values, name, signed)]
        by_frame = np.abs(found).reshape(len(found), -1).mean(axis=1) if found.ndim > 1 else found
        exhibit.numbers = {"output": output, "by_frame": by_frame.tolist()}
    else:
        rows = found.T if found.ndim == 2 else found[None]
        names = channels_of(over) if found.ndim == 2 else []
        picture = plate(rows, steps_of(over, sample), names, True, as_array(subject_units(over, sample)),
                        channels_of(over), "channel" if found.ndim == 2 else "", widest=NARROW)  # fmt: skip
        exhibit.panels = [Panel(name, "the steps from left to right; below them the series", picture, found)]
        by_step = np.abs(found).sum(axis=1) if found.ndim == 2 else np.abs(found)
        strongest = np.argsort(-by_step, kind="stable")[:STRONGEST]
        exhibit.numbers = {"output": output, "strongest": [
            {"step": int(at), "value": float(found[at].sum()) if found.ndim == 2 else float(found[at])}
            for at in strongest
        ]}  # fmt: skip
    return exhibit


def _strongest(values: NDArray[Any], words: Sequence[str]) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(values), kind="stable")[:STRONGEST]
    return [{"step": int(at), "token": words[at], "value": float(values[at])} for at in order]


def _frames(subject: OverSteps, sample: Tensor, values: Tensor, name: str, signed: bool) -> Panel:
    """Maps over the frames of a video, side by side, all with the same colours; of a number a frame, a plate."""
    found = as_array(values)
    if found.ndim == 1:
        picture = plate(found[None], [str(at) for at in range(len(found))], signed=True)
        return Panel(name, "the frames from left to right", picture, found)
    frames = subject.pixels(sample)[0].transpose(0, 1)
    most = float(values.abs().max()) or 1.0
    gap = 4
    pictures = []
    for frame, each in zip(frames, values, strict=True):
        picture, _ = laid_over(frame.clamp(0, 1), each, signed, most)
        pictures.append(np.pad(picture, ((0, 0), (0, gap), (0, 0)), constant_values=255))
    ends = f"{'-' * signed}{most:.3g} to {most:.3g}" if signed else f"0 to {most:.3g}"
    return Panel(name, f"the frames from left to right; {ends}", np.concatenate(pictures, axis=1)[:, :-gap], found)


def steps_of(subject: OverSteps, sample: Tensor) -> list[str]:
    """What stands at each step: of tokens their texts, else nothing."""
    return subject.words(sample) if subject.kind == TOKENS else [""] * sample.shape[subject.axis]


def channels_of(subject: OverSteps) -> list[str]:
    """Names of the channels of a series; of those that are forecast these come first."""
    count = int(subject.data.channels or 0)
    stated = getattr(subject.data, "columns", None) or getattr(subject.data, "targets", None) or ()
    names = [str(name) for name in stated]
    return [*names, *(f"channel {number}" for number in range(len(names), count))][:count]


def subject_units(subject: OverSteps, sample: Tensor) -> Tensor:
    """A series (1, t, F) in the data's units, (t, F)."""
    return subject.pixels(sample)[0]


def sequence(subject: OverSteps, shown: Shown, number: int) -> tuple[str, list[Panel]]:
    """A sequence as it is: tokens as HTML, a series or frames as a picture."""
    sample = _sequences(shown).samples[number]
    if subject.kind == TOKENS:
        words = subject.words(sample)
        return coloured(words, [0.0] * len(words), stand_apart(subject)), []
    if subject.kind == VIDEO:
        frames = subject.pixels(sample)[0].transpose(0, 1)
        picture = np.concatenate([np.pad(photograph(each), ((0, 0), (0, 4), (0, 0)), constant_values=255)
                                  for each in frames.clamp(0, 1)], axis=1)[:, :-4]  # fmt: skip
        return "", [Panel(f"sample_{number}", f"{len(frames)} frames from left to right", picture)]
    values = as_array(subject_units(subject, sample))
    picture = series(values, channels_of(subject))
    return "", [
        Panel(
            f"sample_{number}",
            f"{values.shape[0]} steps of {values.shape[1]} number{'s' * (values.shape[1] > 1)}",
            picture,
            values,
        )
    ]


def stand_apart(subject: OverSteps) -> bool:
    """Whether tokens are words, which have spaces between them."""
    return subject.vocabulary is None or subject.vocabulary.unit == "word"


def _over(subject: Subject) -> OverSteps:
    return cast(OverSteps, subject)


def _sequences(shown: Shown) -> ShownSequences:
    return cast(ShownSequences, shown)
