"""Series to forecast: your own, out of a table, and a made-up one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from couloir.data.sequence.parts_of_time import SPLITS, Cuts, check_windows, divided, windows
from couloir.data.sequence.series_columns import Wanted
from couloir.data.sequence.series_table import SeriesTable, read_series
from couloir.data.sequence.spacing import Spacing
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from couloir.data.sequence.sequences import Sequences
    from couloir.data.source import Loaded

DAY, WEEK = 24, 7 * 24
"""Steps of the two seasons of the made-up series."""


def series_csv(
    path: str,
    date: str | None,
    target: str | list[str] | None,
    covariates: list[str] | None,
    ignore: list[str],
    series: str | None,
    calendar: list[str],
    length: int,
    stride: int,
    gaps: str,
    split: list[Any] | None,
    val_fraction: float,
    test_fraction: float,
    image_size: None = None,
    date_format: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    comment: str | None = None,
    header: bool | int | None = None,
    missing_words: list[Any] | None = None,
    **keys: Any,
) -> Sequences:
    """Windows of the series of a table; `keys` are those of `couloir.data.sequence.sequences.Sequences`."""
    wanted = Wanted.of({
        "path": path, "date": date, "target": target, "covariates": covariates, "ignore": ignore, "series": series,
        "calendar": calendar, "gaps": gaps, "split": split, "val_fraction": val_fraction,
        "test_fraction": test_fraction, "date_format": date_format, "delimiter": delimiter, "decimal": decimal,
        "encoding": encoding, "comment": comment, "header": header, "missing_words": missing_words,
    })  # fmt: skip
    return forecasting(partial(read_series, wanted), length, stride, **keys)


def sine_series(
    steps: int,
    noise: float,
    length: int,
    stride: int,
    val_fraction: float,
    test_fraction: float,
    image_size: None = None,
    **keys: Any,
) -> Sequences:
    """Windows of the made-up series; `keys` as for `series_csv`."""
    read = partial(_waves, steps, noise, Cuts(val_fraction, test_fraction), int(keys.get("seed") or 0))
    return forecasting(read, length, stride, **keys)


def forecasting(read: Any, length: int, stride: int, **keys: Any) -> Sequences:
    """Windows of series as a data module.

    Args:
        read: gives the `SeriesTable`.
        length: steps of input.
        stride: steps from one window to the next.
        keys: those of `Sequences`.
    """
    import torch

    from couloir.data.sequence.sequences import Sequences

    def measure() -> tuple[torch.Tensor, torch.Tensor]:
        table: SeriesTable = read()
        values = table.values[table.training()]
        mean, std = values.mean(axis=0), values.std(axis=0)
        std = np.where(std > 1e-7 * (1 + np.abs(mean)), std, 0.0)
        return torch.from_numpy(mean), torch.from_numpy(std)

    def naive_errors() -> list[float]:
        table: SeriesTable = read()
        return table.naive_errors(keys.get("season"))

    load = partial(_loaded, read, length, int(keys["horizon"]), stride, keys.get("season"))
    return Sequences(load, measure=measure, naive_errors=naive_errors, **keys)


def _loaded(read: Any, length: int, horizon: int, stride: int, season: int | None) -> Loaded:
    from couloir.data.sequence.dated import DatedWindows
    from couloir.data.source import Loaded

    table: SeriesTable = read()
    told = check_windows(table.series, table.made, length, horizon, stride, table.file)
    sources = {
        split: DatedWindows(table, windows(table.series, table.made, split, length, horizon, stride), length, horizon)
        for split in SPLITS
    }
    told.append(season_told(season, table.season, length))
    facts = {"channels": table.channels, "spacing": None if table.spacing is None else table.spacing.in_words()}
    return Loaded(
        sources["train"], sources["val"], sources["test"], targets=list(table.targets), notes=[*table.notes, *told],
        facts=facts,
    )  # fmt: skip


def season_told(season: int | None, of_dates: int | None, length: int) -> str:
    """What the console says of the season: that of the key, and the one that the spacing of the dates suggests."""
    if season is not None:
        return f"  season of {season:,} steps (data.season)"
    if of_dates is not None and of_dates > length:
        why = f"the season of {of_dates:,} steps is longer than a window (data.length={length})"
        return f"  no seasonal naive forecast: {why}"
    return "  no season is known (data.season): forecasts are compared with the naive one alone"


def inspect(target: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """What the series are: the numbers of a step, of these the targets, and the season.

    Raises:
        CouloirError: as `couloir.data.sequence.series_table.read_series`; a window is longer than a part of time; a
            season is longer than a window.
    """
    if target == "sine_series":
        cuts = Cuts(float(keys["val_fraction"]), float(keys["test_fraction"]))
        table = _waves(int(keys["steps"]), float(keys["noise"]), cuts, int(keys.get("seed") or 0))
    else:
        table = read_series(Wanted.of(keys))
    length, horizon = int(keys["length"]), int(keys["horizon"])
    check_windows(table.series, table.made, length, horizon, int(keys["stride"]), table.file)
    season = keys.get("season")
    if season is not None and int(season) > length:
        raise CouloirError(
            f"data.season={season} is longer than a window of data.length={length}: the seasonal naive forecast "
            "repeats a season out of the window.",
            next_step=f"data.length={season} or more, or a shorter season",
        )
    fitting = table.season if table.season is not None and table.season <= length else None
    return {"channels": len(table.channels), "num_classes": len(table.targets), "season": fitting}


def _waves(steps: int, noise: float, cuts: Cuts, seed: int) -> SeriesTable:
    """A made-up hourly series: a day, a week that grows and shrinks it, a slow rise, and noise."""
    time = np.arange(steps)
    values = 10 + 3 * np.sin(2 * np.pi * time / DAY) * (1 + 0.5 * np.sin(2 * np.pi * time / WEEK))
    values = values + np.sin(2 * np.pi * time / WEEK) + 2 * time / steps
    values = values + noise * np.random.default_rng(seed).standard_normal(steps)
    days = 10_957 + time / DAY  # from 2000-01-01 on
    made = np.zeros(steps, dtype=bool)
    series, told = divided([("", 0, steps)], days, made, cuts, "data=sine_series")
    spacing = Spacing.of(days)
    table = SeriesTable("sine_series", ["value"], ["value"], values[:, None], days, made, series, spacing)
    return replace(table, notes=[f"sine_series: {steps:,} steps, {spacing.in_words()}", *told])
