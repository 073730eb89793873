"""The rules of gradients and of waiting: what loss curves alone do not show.

Gradients come from the columns `gradients/*` of `metrics.csv`, or from `signals.csv`; either is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, median

from couloir.diagnosis.finding import Evidence, number
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
    norms, ratio = _newer(reading, "gradients/norm"), _newer(reading, "gradients/first_to_last")
    if norms:
        early = median(_column(reading, "gradients/norm")[:3])
        endless = not all(map(math.isfinite, norms))
        if endless or norms[-1] >= EXPLODED or (early > 0 and norms[-1] >= EXPLODED * early):
            said = "not finite any more" if endless else number(norms[-1])
            return f"the norm of all gradients is {said}.", (
                ("gradient norm", f"{number(early)} at first, {said} at the end"),
            )
    if ratio and median(ratio) >= EXPLODED:
        return _layers_apart(median(ratio), "the last")
    shrunk = _through_layers(reading, "gradient_variance")
    if shrunk is not None and shrunk[0] >= EXPLODED:
        return _layers_apart(shrunk[0], shrunk[1])
    return None


def vanishing_gradients(reading: Reading) -> Answer | None:
    """Gradients die out on their way back to the first layer."""
    ratio = _newer(reading, "gradients/first_to_last")
    if ratio and 0 < median(ratio) <= VANISHED:
        return _layers_apart(median(ratio), "the last")
    for of in ("weight_gradient_variance", "gradient_variance"):
        shrunk = _through_layers(reading, of)
        if shrunk is not None and 0 < shrunk[0] <= VANISHED:
            return _layers_apart(shrunk[0], shrunk[1])
    return None


def _layers_apart(ratio: float, last: str) -> Answer:
    which = last if last == "the last" else f"the last ({last})"
    return (
        f"the first layer's gradient is {ratio:.1g} times that of {which}.",
        (("gradient of the first layer over the last", f"{ratio:.2g}"),),
    )


def dead_units(reading: Reading) -> Answer | None:
    """Units that pass nothing on, and so get no gradient and never change."""
    shares = _newer(reading, "gradients/dead_units")
    if shares and min(shares) >= DEAD:
        return f"{median(shares):.0%} of the hidden units get no gradient at all.", (
            ("dead units", f"{median(shares):.0%}"),
        )
    newest = _newest(reading.signals)
    hidden = newest[:-1]
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
    return (
        f"training waits for its next batch for {median(shares):.0%} of the time, {waited:.0f} s in all.",
        (
            ("waiting", f"{median(shares):.0%} of the training time"),
            ("waited", f"{waited:.0f} of {sum(seconds):.0f} s"),
        ),
    )


CAUSES: dict[str, Rule] = {
    "exploding_gradients": exploding_gradients,
    "dead_units": dead_units,
    "vanishing_gradients": vanishing_gradients,
}
"""Of these the first that holds explains why a network does not learn; one that does learn is left alone."""


def _column(reading: Reading, name: str) -> list[float]:
    return [row[name] for row in reading.rows if name in row]


def _newer(reading: Reading, name: str) -> list[float]:
    """The later half of a column; one epoch's last step says little."""
    values = _column(reading, name)
    return values[len(values) // 2 :]


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
