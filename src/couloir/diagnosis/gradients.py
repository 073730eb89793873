"""The rules of gradients and of waiting: what loss curves alone do not show.

Gradients come from the columns `gradients/*` of `metrics.csv`, or from `signals.csv`; either is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median

from couloir.diagnosis.curve import Point
from couloir.diagnosis.finding import Evidence, number, quoted
from couloir.diagnosis.reading import Reading
from couloir.record.signals import LayerSignal

Answer = tuple[str, Evidence]
"""A sentence, and the numbers that it is about."""
Rule = Callable[[Reading], Answer | None]

VANISHED = 1e-3
"""The first layer's gradient over the last layer's, below which the first hardly learns."""
EXPLODED = 1e3
"""The same above which it does nothing but jump; also the norm, and its growth during the run."""
DEAD = 0.5
"""The share of units without a gradient."""
WAITED = 0.3
"""The share of the training time."""
LONGEST = 1e9
"""Seconds of an epoch."""
WAITED_SECONDS = 5.0
"""In all; nobody minds less."""


def exploding_gradients(reading: Reading) -> Answer | None:
    """Gradients grow through the layers, or during the run."""
    norms, ratio = _newer(reading, "gradients/norm"), _middle(reading, "gradients/first_to_last")
    if norms:
        first = _points(reading, "gradients/norm")[0]
        early = median(point.value for point in _points(reading, "gradients/norm")[:3])
        endless = next((point for point in norms if not math.isfinite(point.value)), None)
        if endless or norms[-1].value >= EXPLODED or (early > 0 and norms[-1].value >= EXPLODED * early):
            newest = endless or norms[-1]
            return f"the norm of all gradients is {quoted(newest)}.", (
                ("gradient norm", f"{quoted(first)}, then {quoted(newest)}"),
            )
    if ratio and ratio.value >= EXPLODED:
        return _layers_apart(quoted(ratio), "the last")
    shrunk = _through_layers(reading, "gradient_variance")
    if shrunk is not None and shrunk[0] >= EXPLODED:
        return _layers_apart(number(shrunk[0]), shrunk[1])
    return None


def vanishing_gradients(reading: Reading) -> Answer | None:
    """Gradients die out on their way back to the first layer; one that has learned already needs few."""
    if reading.key("model.weights") is not None or reading.key("model.pretrained"):
        return None
    ratio = _middle(reading, "gradients/first_to_last")
    if ratio and 0 < ratio.value <= VANISHED:
        return _layers_apart(quoted(ratio), "the last")
    for of in ("weight_gradient_variance", "gradient_variance"):
        shrunk = _through_layers(reading, of)
        if shrunk is not None and 0 < shrunk[0] <= VANISHED:
            return _layers_apart(number(shrunk[0]), shrunk[1])
    return None


def _layers_apart(ratio: str, last: str) -> Answer:
    which = "the last layer" if last == "the last" else f"the last layer, {last}, in the middle of all measurements"
    return (
        f"the gradient of the first layer, divided by that of {which}, is {ratio}.",
        (("gradient of the first layer over the last", ratio),),
    )


def dead_units(reading: Reading) -> Answer | None:
    """Units that pass nothing on, so that they get no gradient and never change; or no weight gets one."""
    norms = _points(reading, "gradients/norm")[-2:]
    if len(norms) == 2 and not any(point.value for point in norms):
        return f"no weight gets a gradient any more: the norm of all gradients is {quoted(norms[1])}.", (
            ("gradient norm", quoted(norms[1])),
        )
    shares = _newer(reading, "gradients/dead_units")
    if shares and min(point.value for point in shares) >= DEAD:
        newest = shares[-1]
        said = f"{newest.value:.0%} of the hidden units get no gradient at all in epoch {newest.epoch}"
        return f"{said}.", (("dead units", f"{newest.value:.0%} (epoch {newest.epoch})"),)
    measured = _newest(reading.signals)
    hidden = measured[:-1]
    still = [signal.layer for signal in hidden if signal.activation_variance == 0 or signal.gradient_variance == 0]
    if hidden and len(still) >= DEAD * len(hidden):
        names = ", ".join(still[:4]) + (", ..." if len(still) > 4 else "")
        return (
            f"{len(still)} of {len(hidden)} hidden layers pass nothing on, or get no gradient (layers {names}).",
            (("dead layers", f"{len(still)} of {len(hidden)}"),),
        )
    return None


def waiting_for_data(reading: Reading) -> Answer | None:
    """The network waits for batches for a large part of the time."""
    rows = [row for row in reading.rows if {"waiting", "seconds"} <= row.keys()]
    rows = rows[1:] or rows  # the first epoch starts workers and fills caches
    pairs = [(row["waiting"], row["seconds"]) for row in rows]
    pairs = [(share, time) for share, time in pairs if 0 <= share <= 1 and 0 <= time <= LONGEST]
    if not pairs:
        return None
    shares, seconds = zip(*pairs, strict=True)
    waited = sum(share * time for share, time in zip(shares, seconds, strict=True))
    if fmean(shares) < WAITED or median(shares) < WAITED or waited < WAITED_SECONDS:
        return None
    epochs = f"epochs {rows[0]['epoch']:.0f} to {rows[-1]['epoch']:.0f}"
    lost = f"{waited:.0f} of {sum(seconds):.0f} s in {epochs}"
    return f"training waits for its next batch for {lost}, {waited / sum(seconds):.0%} of the time.", (
        ("waiting", f"{lost}; {median(shares):.0%} is the median of these epochs"),
    )


CAUSES: dict[str, Rule] = {
    "exploding_gradients": exploding_gradients,
    "dead_units": dead_units,
    "vanishing_gradients": vanishing_gradients,
}
"""Of these the first that holds explains why a network does not learn; one that does learn is left alone."""


def _points(reading: Reading, name: str) -> list[Point]:
    return [Point(int(row["epoch"]), row[name]) for row in reading.rows if name in row]


def _newer(reading: Reading, name: str) -> list[Point]:
    """The later half of a column; one epoch's last step says little."""
    points = _points(reading, name)
    return points[len(points) // 2 :]


def _middle(reading: Reading, name: str) -> Point | None:
    """The median of the later half of a column, a value that stands there, and its epoch."""
    points = sorted(_newer(reading, name), key=lambda point: point.value)
    return points[(len(points) - 1) // 2] if points else None


def _newest(signals: Sequence[LayerSignal]) -> list[LayerSignal]:
    last = max((signal.epoch for signal in signals), default=0)
    return [signal for signal in signals if signal.epoch == last]


def _through_layers(reading: Reading, of: str) -> tuple[float, str] | None:
    """The first weighted layer's deviation over the last one's, the median of all measurements, and the last's name."""
    ratios, name = [], ""
    for epoch in sorted({signal.epoch for signal in reading.signals}):
        weighted = [
            signal
            for signal in reading.signals
            if signal.epoch == epoch and signal.weight_gradient_variance is not None
        ]
        if len(weighted) < 2:
            continue
        first, last = getattr(weighted[0], of), getattr(weighted[-1], of)
        if first is not None and last and math.isfinite(first) and math.isfinite(last):
            ratios.append(math.sqrt(first / last))
            name = weighted[-1].layer
    return (median(ratios), name) if ratios else None
