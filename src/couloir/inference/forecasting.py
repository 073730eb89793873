"""The steps that follow the last ones of a table, by finished runs that forecast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf

from couloir.artifacts.forecast_exhibits import forecasts_of
from couloir.artifacts.forecast_pictures import Window, windows_picture
from couloir.artifacts.sample_grid import Pixels
from couloir.config.fields import input_field
from couloir.data.sequence.parts_of_time import Series
from couloir.data.sequence.series_columns import Wanted
from couloir.data.sequence.series_table import SeriesTable, read_series
from couloir.data.sequence.spacing import Days, as_texts
from couloir.errors import CouloirError
from couloir.inference.answers import Block
from couloir.inference.trained import Trained
from couloir.record.forecast import KINDS, MODEL
from couloir.task.forecast import Forecast

PANELS = 24
"""Windows that a picture shows at most."""


@dataclass(frozen=True)
class Forecasted:
    """What follows the last steps of a series.

    Attributes:
        name: of the series, where a table has several; else empty.
        moments: the dates of the steps to come, H; without dates their numbers, from 1 on.
        dated: whether they are dates.
        targets: the names of the columns, K.
        values: in the table's units, (H, K).
        days: the dates of the window and of the steps to come, days since 1970, (T + H,); None: there are no dates.
        known: the window, (T, K).
        naive: the naive forecasts by kind, (H, K).
    """

    name: str
    moments: list[str]
    dated: bool
    targets: list[str]
    values: NDArray[np.float64]
    days: Days | None
    known: NDArray[np.float64]
    naive: dict[str, NDArray[np.float64]]

    def block(self, file: str) -> Block:
        """A row for each step to come; `file` is the table's name, where there are several."""
        count = len(self.moments)
        origin = {"file": [file] * count} if file else {}
        origin |= {"series": [self.name] * count} if self.name else {}
        origin["date" if self.dated else "step"] = self.moments
        values = np.vectorize(_rounded, otypes=[np.float64])(self.values)
        return Block(origin, {"prediction": values}, np.zeros(count, dtype=bool))


def _rounded(value: float) -> float:
    """With nine digits: a network answers with 32 bits."""
    return float(f"{value:.9g}")


def is_forecaster(run: Trained) -> bool:
    """Whether a run forecasts series."""
    return isinstance(run.task, Forecast) and run.data.fields[input_field(run.data.fields)] == "series"


def forecast(runs: Sequence[Trained], file: Path) -> tuple[list[Forecasted], list[str]]:
    """The steps that follow each series of a table, the mean of all runs; and sentences about what does not fit.

    Args:
        runs: of one horizon and with the same targets.
        file: the table, whose columns stand in any order; there may be others.

    Raises:
        CouloirError: the table is none of series as the runs know them, or is shorter than a window.
    """
    first, *others = runs
    for other in others:
        same = other.data.targets == first.data.targets and other.data.horizon == first.data.horizon
        if not is_forecaster(other) or not same:
            raise CouloirError(
                f"{other.run.name} does not forecast the same steps and columns as {first.run.name}.",
                next_step="ask runs of one data.horizon and the same data.target",
            )
    found: list[list[Forecasted]] = []
    notes: list[str] = []
    for run in runs:
        table = _table(run, file)
        trained, here = run.data.facts.get("spacing"), None if table.spacing is None else table.spacing.in_words()
        if trained != here:
            notes.append(
                f"{run.run.name} was trained on steps of {trained or 'no dates'}, and {file.name} has steps of "
                f"{here or 'no dates'}"
            )
        found.append(list(_forecasted(run, table, file)))
    answers = []
    for together in zip(*found, strict=True):
        mean = np.mean([each.values for each in together], axis=0)
        one = together[0]
        answers.append(Forecasted(one.name, one.moments, one.dated, one.targets, mean, one.days, one.known, one.naive))
    return answers, notes


def _table(run: Trained, file: Path) -> SeriesTable:
    """The columns of the training, out of another table."""
    keys = OmegaConf.to_container(run.cfg.data, resolve=True)
    assert isinstance(keys, dict)
    targets, calendar = [str(name) for name in run.data.targets], keys.get("calendar") or []
    channels = [str(name) for name in run.data.facts.get("channels", targets)]
    covariates = channels[len(targets) : len(channels) - 2 * len(calendar)]
    stated = {
        **{str(name): value for name, value in keys.items()}, "path": str(file), "target": targets,
        "covariates": covariates, "ignore": [], "split": None,
    }  # fmt: skip
    return read_series(Wanted.of(stated), "give the table the columns of the training")


def _forecasted(run: Trained, table: SeriesTable, file: Path) -> Iterator[Forecasted]:
    length, horizon = int(run.cfg.data.length), int(run.data.horizon)
    task = run.task
    assert isinstance(task, Forecast)
    for each in table.series:
        window = _last_window(length, each, file)
        batch = run.data.as_batch(torch.from_numpy(table.values[window][None]))
        with torch.inference_mode():
            forecasts = {kind: values[0] for kind, values in forecasts_of(task, batch[task.input]).items()}
        days, moments = None, [str(step + 1) for step in range(horizon)]
        if table.days is not None and table.spacing is not None:
            coming = table.spacing.after(float(table.days[each.stop - 1]), horizon)
            days = np.concatenate([table.days[window], coming])
            moments = as_texts(days)[length:]
        known = table.values[window, : len(table.targets)]
        naive = {kind: values for kind, values in forecasts.items() if kind != MODEL}
        yield Forecasted(
            each.name, moments, days is not None, list(table.targets), forecasts[MODEL], days, known, naive
        )


def last_windows(run: Trained, file: Path) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The last steps of each series of a table as a run looks at them, (length, F) in the data's units, by its name.

    Raises:
        CouloirError: as `forecast`.
    """
    table = _table(run, file)
    for each in table.series:
        yield each.name, table.values[_last_window(int(run.cfg.data.length), each, file)].astype(np.float32)


def _last_window(length: int, each: Series, file: Path) -> slice:
    if each.stop - each.start < length:
        of = f" of series '{each.name}'" if each.name else ""
        raise CouloirError(
            f"The run looks at {length:,} steps, and there are {each.stop - each.start:,}{of}.", place=str(file),
            next_step="give a table with more of what was before",
        )  # fmt: skip
    return slice(each.stop - length, each.stop)


def picture(answers: Sequence[Forecasted]) -> Pixels:
    """A panel for each series and each of its columns, `PANELS` at most: what was known, and what is forecast."""
    windows = []
    for each in answers:
        for place, target in enumerate(each.targets):
            title = ", ".join(filter(None, (each.name, target)))
            kinds = {MODEL: each.values, **each.naive}
            shown = {kind: kinds[kind][:, place] for kind in KINDS if kind in kinds}
            windows.append(Window(title, each.days, each.known[:, place], None, shown))
    return windows_picture(windows[:PANELS], 2)
