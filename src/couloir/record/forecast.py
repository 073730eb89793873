"""`forecast.csv`: how large the errors of a forecast are at each step to come, beside those of the naive forecasts.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from couloir.record.files import as_csv, read_rows
from couloir.record.folder import RunFolder

FILE = "forecast.csv"
MODEL, NAIVE, SEASONAL = "model", "naive", "seasonal_naive"
KINDS = {MODEL: "network", NAIVE: "naive", SEASONAL: "seasonal naive"}
"""What is compared, in the order of the columns, and what people call it."""
STEP = "step"
ByStep = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each of `KINDS` that there is, each measure by its name: H numbers, one for each step to come."""


def write_forecast(folder: RunFolder, errors: ByStep) -> None:
    """Write a row for each step to come: the measures of the network, then those of the others, `naive/mae` say."""
    columns = {
        name if kind == MODEL else f"{kind}/{name}": values
        for kind in KINDS
        for name, values in errors.get(kind, {}).items()
    }
    rows = [
        (step, *("" if value != value else f"{value:.9g}" for value in row))
        for step, row in enumerate(zip(*columns.values(), strict=True), start=1)
    ]
    folder.write_text(FILE, as_csv((STEP, *columns), rows))


def read_forecast(run: Path) -> dict[str, dict[str, list[float]]]:
    """What `write_forecast` has written; empty where there is no such file, or it is torn."""
    rows = [row for row in read_rows(run / FILE, strict=False) if STEP in row]
    found: dict[str, dict[str, list[float]]] = {}
    try:
        for column in rows[0] if rows else ():
            kind, _, name = column.rpartition("/")
            if column != STEP and (kind or MODEL) in KINDS:
                values = [float(row[column] or "nan") for row in rows]
                found.setdefault(kind or MODEL, {})[name] = values
    except (ValueError, KeyError):
        return {}
    return found
