"""What a test of forecasts leaves: `forecast.csv`, and pictures of windows and of the errors by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from couloir.artifacts.labelled_tiles import quick_png
from couloir.artifacts.sample_grid import Pixels
from couloir.data.sequence.dated import DatedWindows
from couloir.distributed import in_shares
from couloir.layer_kinds import looking
from couloir.log import note
from couloir.metric.forecast import ErrorsByStep, WorstWindows
from couloir.record.files import write_atomically
from couloir.record.folder import RunFolder
from couloir.record.forecast import KINDS, MODEL, ByStep, write_forecast
from couloir.task.forecast import Forecast

KEY = "callbacks.pictures"
WINDOWS, WINDOWS_OF_SEVERAL, TARGETS = 6, 4, 3
"""Windows of a picture: of one series, and of several, of which so many are shown."""


class ForecastsSeen(NamedTuple):
    """What a test of forecasts has seen.

    Attributes:
        errors: at each step to come.
        worst: the numbers of the windows with the largest errors, the worst first.
    """

    errors: ByStep
    worst: list[int]


def forecasts_seen(seen: Mapping[str, Any]) -> ForecastsSeen | None:
    """What the test has left in a task's `seen`; all processes of a run must ask for it. None: it is no forecast."""
    errors, worst = {}, seen.get("worst")
    for kind in KINDS:
        metric = seen.get(f"steps_{kind}")
        if isinstance(metric, ErrorsByStep):
            # TorchMetrics makes a number of a tensor with one value: that of one step to come, or of one window.
            found = {name: values.reshape(-1).tolist() for name, values in metric.compute().items()}
            if any(value == value for values in found.values() for value in values):
                errors[kind] = found
    if MODEL not in errors:
        return None
    numbers = worst.compute()[1].reshape(-1).tolist() if isinstance(worst, WorstWindows) else []
    return ForecastsSeen(errors, numbers)


def write_forecasts(
    cfg: DictConfig, task: Any, data: Any, folder: RunFolder, seen: ForecastsSeen | None
) -> dict[str, float]:
    """Write `forecast.csv` and, unless `callbacks.pictures` is false, the pictures.

    Args:
        cfg: the run's configuration.
        task: with the weights that were tested.
        data: its data, set up.
        folder: the run's folder.
        seen: what the test has seen; None: there is nothing to write.

    Returns:
        the numbers of the naive forecasts on the test split, `naive/mse` say.
    """
    if seen is None:
        return {}
    write_forecast(folder, seen.errors)
    if OmegaConf.select(cfg, KEY) is True:
        for name, draw in _pictures(task, data, seen):
            try:
                picture = draw()
            except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc
                note.info("%s cannot be drawn: %s: %s", name, type(error).__name__, " ".join(str(error).split()))
                continue
            write_atomically(folder.path / name, quick_png(picture))
    return {
        f"{kind}/{name}": float(np.mean(values))
        for kind, measures in seen.errors.items()
        for name, values in measures.items()
        if kind != MODEL
    }


def _pictures(task: Any, data: Any, seen: ForecastsSeen) -> Iterator[tuple[str, Callable[[], Pixels]]]:
    from couloir.artifacts.forecast_pictures import steps_picture

    yield "forecast_steps.png", lambda: steps_picture(seen.errors)
    split = getattr(data, "splits", {}).get("test")
    if split is None or not isinstance(split.source, DatedWindows):
        return
    if in_shares(task):
        note.info("no forecasts.png: the weights are cut into shares")
        return
    count = WINDOWS if data.num_classes == 1 else WINDOWS_OF_SEVERAL
    spread = np.linspace(0, len(split.indices) - 1, min(count, len(split.indices))).astype(np.int64)
    yield "forecasts.png", lambda: _drawn(task, data, spread, by_error=False)
    if seen.worst:
        worst = _apart(split.source, split.indices, seen.worst, count)
        yield "worst_forecasts.png", lambda: _drawn(task, data, worst, by_error=True)


def _apart(source: DatedWindows, indices: NDArray[np.int64], worst: Sequence[int], count: int) -> NDArray[np.int64]:
    """The worst windows of which no two are about the same steps, `count` at most."""
    starts = source.input.starts.numpy()[indices]
    chosen: list[int] = []
    for number in worst:
        if len(chosen) < count and all(abs(starts[number] - starts[other]) >= source.horizon for other in chosen):
            chosen.append(number)
    return np.array(chosen, dtype=np.int64)


def _drawn(task: Any, data: Any, numbers: NDArray[np.int64], by_error: bool) -> Pixels:
    """Some windows of the test, of each the series with the largest errors, or some of all."""
    from couloir.artifacts.forecast_pictures import Window, windows_picture

    windows: list[Window] = []
    batch = data.seen("test", numbers)
    split, names = data.splits["test"], list(data.targets)
    with looking(task):
        device = next(task.parameters()).device
        forecasts = forecasts_of(task, batch[task.input].to(device))
        truth = task.truth(batch).double().cpu().numpy()
        known = known_values(task, batch[task.input])
    words = split.source.words(split.indices[numbers])
    spread = np.unique(np.linspace(0, len(names) - 1, min(TARGETS, len(names))).round().astype(int))
    for place, number in enumerate(numbers.tolist()):
        error = forecasts[MODEL][place] - truth[place]
        scaled = np.square(error / np.asarray(data.target_scale)).mean(axis=0)
        chosen = np.argsort(-scaled, kind="stable")[:TARGETS] if by_error else spread
        for target in chosen.tolist():
            name = f"{names[target]}, " if len(names) > 1 else ""
            title = f"{name}from {words[place]}" + (f": MSE {scaled[target]:.3g}" if by_error else "")
            own = {kind: values[place][:, target] for kind, values in forecasts.items()}
            days = split.source.dates(int(split.indices[number]))
            windows.append(Window(title, days, known[place][:, target], truth[place][:, target], own))
    return windows_picture(windows, 2 if len(names) == 1 else min(TARGETS, len(names)))


def forecasts_of(task: Forecast, x: Tensor) -> dict[str, NDArray[np.float64]]:
    """The network's forecast and the naive ones, in the data's units, (B, H, K) by kind."""
    with torch.no_grad():
        found = {MODEL: task.look(x), **task.naive_forecasts(x)}
        return {kind: task.answer(values.double()).cpu().numpy() for kind, values in found.items()}


def known_values(task: Forecast, x: Tensor) -> NDArray[np.float64]:
    """What the windows hold of the targets, in the data's units, (B, T, K)."""
    values: NDArray[np.float64] = task.answer(x[..., : task.num_classes].double()).cpu().numpy()
    return values
