"""What the network answers, and the training samples that look most alike to its last hidden layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from couloir.artifacts.page import Cell, table, text
from couloir.errors import CouloirError
from couloir.inference.explain.exhibit import Exhibit, Panel, as_picture, in_bytes
from couloir.inference.explain.steps.by_step import sequence
from couloir.inference.explain.steps.sequences import OverSteps
from couloir.inference.explain.subject import Shown, Subject
from couloir.inference.explain.words import Wanted
from couloir.task.dense import Dense

LIKELIEST = 5
"""Classes that are named, as in figure 4 of Krizhevsky, Sutskever and Hinton (2012)."""
NEAREST = 6
"""Training samples that are shown beside one, as in the same figure."""
THUMBNAIL = 128
"""Pixels of the longer side of a neighbour that is kept."""
VALUES = 12
"""Columns of a row that are shown."""


def answered(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The sample, what it is, and the likeliest classes with bars; of a regression its values."""
    answers = subject.answers(shown.x).cpu()
    found = []
    for number, name in enumerate(shown.names):
        rows = _rows(subject, answers[number])
        numbers: dict[str, Any] = {"answers": rows, "explained": subject.name_of(int(shown.target[number]))}
        mean = ", the mean over the steps to come" if subject.data.kind == "future" else ""
        told = f"explained: {numbers['explained']}{mean}"
        if shown.truth is not None and shown.truth[number] >= 0:
            numbers["truth"] = subject.name_of(shown.truth[number])
            told = f"truth: {numbers['truth']}; {told}"
        panels = [Panel(f"sample_{number}", told, as_picture(shown.pixels[number]))] if subject.is_image else []
        html = bars([(row["output"], row["answer"]) for row in rows], of_one=subject.chooses or _is_share(subject))
        if isinstance(subject, OverSteps):
            before, panels = sequence(subject, shown, number)
            if written := subject.written(shown, number):
                numbers["written"], told = written, f"writes: {written}; {told}, the first token"
            html = f"<div><p>{text(told)}</p>{before}{html}</div>"
        elif not panels:
            html = f"<p>{text(told)}</p>{html}"
        found.append(
            Exhibit(
                "answer",
                name,
                panels=panels,
                html=html,
                numbers=numbers,
                sample=number,
                side=520 if isinstance(subject, OverSteps) else 220,
            )
        )
    return found


def _is_share(subject: Subject) -> bool:
    return bool(subject.data.kind == "labels")


def _rows(subject: Subject, answers: Tensor) -> list[dict[str, Any]]:
    """The likeliest outputs, the first ones first; of a regression all values, as far as they are few."""
    order = range(len(answers))
    if subject.chooses or _is_share(subject):
        order = answers.argsort(descending=True, stable=True).tolist()  # type: ignore[assignment]
    elif isinstance(subject.task, Dense):
        return []  # a mean over the pixels is no answer
    return [{"output": subject.name_of(k), "answer": float(answers[k])} for k in list(order)[:LIKELIEST]]


def bars(rows: list[tuple[str, float]], of_one: bool) -> str:
    """Names and numbers with bars below each other; shares of one in percent, and other numbers as they are."""
    most = 1.0 if of_one else max((abs(value) for _, value in rows), default=1.0) or 1.0
    lines = []
    for name, value in rows:
        width = 100 * min(1.0, abs(value) / most)
        shown = f"{100 * value:.1f}%" if of_one else f"{value:.5g}"
        lines.append(f'<div><b>{text(name)}</b><i><u style="width:{width:.1f}%"></u></i><span>{shown}</span></div>')
    return f'<div class="bars">{"".join(lines)}</div>' if lines else ""


def neighbours(subject: Subject, shown: Shown, wanted: Wanted) -> list[Exhibit]:
    """The training samples nearest to each in the last hidden layer, by Euclidean distance (Krizhevsky, Sutskever and
    Hinton, 2012, section 6.1).

    Raises:
        CouloirError: the data is not there, or the answers are maps.
    """
    if isinstance(subject.task, Dense):
        raise CouloirError(
            "The answers of this run are maps, and their last hidden layer is one for each pixel.",
            next_step="leave the method neighbours out",
        )
    hidden = subject.hidden(shown.x).double()
    features, places, targets, pictures = [], [], [], []
    texts: list[str] = []
    for x, target, numbers in subject.split("train", wanted.most):
        features.append(subject.hidden(x).double())
        places += numbers
        texts += subject.said(x) if isinstance(subject, OverSteps) else []
        if target is not None and target.ndim == 1 and not target.is_floating_point():
            targets += target.tolist()
        if subject.is_image:
            pictures.append(_thumbnails(subject.pixels(x)))
    if not features:
        raise CouloirError("The training split has no samples.", next_step="leave the method neighbours out")
    apart = torch.cdist(hidden, torch.cat(features))
    distances, order = apart.sort(dim=1, stable=True)
    whole = torch.cat(pictures) if pictures else None
    of = f"the {len(places):,} training samples looked at" if wanted.most <= len(places) else "all training samples"
    note = (
        f"Of {of}, those whose values in the last hidden layer ({hidden.shape[1]:,} numbers) are nearest (Euclidean)."
    )
    found = []
    for number, name in enumerate(shown.names):
        panels, rows = [], []
        near: list[dict[str, Any]] = []
        for rank in range(min(NEAREST, len(places))):
            at, distance = int(order[number, rank]), float(distances[number, rank])
            label = subject.name_of(targets[at]) if targets else ""
            entry = {"place": places[at], "distance": distance, **({"class": label} if label else {})}
            entry |= {"text": texts[at]} if texts else {}
            near.append(entry)
            words = f"{label or 'sample'} {'no. ' * (not label)}{'' if label else places[at]}".strip()
            told = f"{words}, {distance:.3g} away"
            if whole is not None:
                panels.append(Panel(f"neighbours_{number}_{rank}", told, as_picture(whole[at].float() / 255)))
            else:
                told_by = [*([Cell(label)] if targets else ()), *([Cell(texts[at])] if texts else ())]
                rows.append([Cell(str(places[at]), places[at]), *told_by, Cell(f"{distance:.4g}", distance)])
        heads = ["training sample", *(["class"] if targets else ()), *(["text"] if texts else ()), "distance"]
        html = table(heads, rows, "nearest training samples") if rows else ""
        exhibit = Exhibit("neighbours", f"Nearest training samples of {name}", note, panels, html=html, sample=number)
        exhibit.numbers, exhibit.side = {"nearest": near}, 96
        found.append(exhibit)
    return found


def _thumbnails(pixels: Tensor) -> Tensor:
    """Images in [0, 1] (B, C, H, W) as bytes, smaller where they are large: all that are looked at are kept."""
    side = max(pixels.shape[2:])
    if side > THUMBNAIL:
        size = [max(1, round(length * THUMBNAIL / side)) for length in pixels.shape[2:]]
        pixels = F.interpolate(pixels, size=size, mode="area")
    return in_bytes(pixels).cpu()
