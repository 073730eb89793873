"""`signals.csv`: how large signals and their gradients are, layer by layer. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from couloir.record.files import as_csv, read_rows, unreadable, write_atomically

FILE = "signals.csv"


@dataclass(frozen=True)
class LayerSignal:
    """What one layer gives for a batch, and what comes back.

    Variances are taken over all samples and units (and pixels) of the layer together, without Bessel's correction.

    Attributes:
        epoch: after which it was measured; 0: before training.
        layer: its dotted name in the network.
        activation_mean: of its output.
        activation_variance: of its output.
        gradient_variance: of the loss by the output; None where nothing came back.
        weight_gradient_variance: of the loss by its weight; None where there is none.
    """

    epoch: int
    layer: str
    activation_mean: float
    activation_variance: float
    gradient_variance: float | None
    weight_gradient_variance: float | None


COLUMNS = tuple(field.name for field in fields(LayerSignal))


def write_signals(run: Path, rows: Iterable[LayerSignal]) -> None:
    """Write all measurements of a run, in the order of epochs and layers."""
    write_atomically(run / FILE, as_csv(COLUMNS, map(astuple, rows)))


def read_signals(run: Path, strict: bool = True) -> list[LayerSignal]:
    """The measurements of a run; none where it has no such file. A lenient reader leaves out what it cannot read.

    Raises:
        CouloirError: the file is torn; only where strict.
    """
    found = []
    for row in read_rows(run / FILE, strict):
        try:
            mean, variance = float(row["activation_mean"]), float(row["activation_variance"])
            backwards = _number(row["gradient_variance"]), _number(row["weight_gradient_variance"])
            found.append(LayerSignal(int(row["epoch"]), row["layer"], mean, variance, *backwards))
        except (ValueError, KeyError) as error:
            if strict:
                raise unreadable(run / FILE, error) from error
    return found


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
