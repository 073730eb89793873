"""What a run leaves at its end that has learned a curve, values or regions: `fit.png`, `predictions.png`,
`regions.png`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from couloir.artifacts.labelled_tiles import quick_png
from couloir.artifacts.learned import (
    Values,
    answers,
    curve_points,
    has_curve,
    has_regions,
    plane_points,
    rows_of,
)
from couloir.artifacts.sample_grid import Pixels
from couloir.distributed import in_shares
from couloir.layer_kinds import looking
from couloir.log import note
from couloir.record.files import write_atomically
from couloir.record.folder import RunFolder
from couloir.record.predictions import read_predictions
from couloir.task.regression import Regression
from couloir.task.task import Task

KEY = "callbacks.pictures"
POINTS, SIDE = 400, 160
"""Of a curve, and of a side of the plane."""


def write_learned(cfg: DictConfig, task: Task, data: Any, folder: RunFolder) -> None:
    """Draw those of the pictures that apply, unless `callbacks.pictures` is false; one that cannot be drawn is noted.

    Args:
        cfg: the run's configuration.
        task: with the weights that were tested, or the best.
        data: its data, set up.
        folder: the run's folder; `predictions.png` is drawn from its `predictions.csv`.
    """
    if OmegaConf.select(cfg, KEY) is not True:
        return
    if in_shares(task):
        note.info("no fit.png or regions.png: the weights are cut into shares")
        return
    for name, draw in _pictures(task, data, folder):
        try:
            picture = draw()
        except Exception as error:  # noqa: BLE001  fonts, a matplotlibrc, a network that does not take such rows
            note.info("%s cannot be drawn: %s: %s", name, type(error).__name__, " ".join(str(error).split()))
            continue
        if picture is not None:
            write_atomically(folder.path / name, quick_png(picture))


def _pictures(task: Task, data: Any, folder: RunFolder) -> Iterator[tuple[str, Callable[[], Pixels | None]]]:
    if has_curve(task, data):
        yield "fit.png", lambda: _fit(task, data)
    if has_regions(task, data):
        yield "regions.png", lambda: _regions(task, data)
    if isinstance(task, Regression):
        yield "predictions.png", lambda: _predictions(folder)


def _fit(task: Task, data: Any) -> Pixels | None:
    rows = rows_of(data, ("train", "val", "test"))
    if rows is None:
        return None
    x = curve_points(rows, POINTS)
    with looking(task.net):
        y = answers(task, data, x, rows.offsets)[:, 0].double().numpy()
    from couloir.artifacts.learned_pictures import fit_scene

    return fit_scene(rows, x).picture(y, "")


def _regions(task: Task, data: Any) -> Pixels | None:
    rows = rows_of(data, ("train", "test"))
    if rows is None:
        return None
    with looking(task.net):
        p = answers(task, data, plane_points(rows, SIDE), rows.offsets).numpy()
        said = answers(task, data, rows.x["test"], rows.offsets).argmax(dim=1).numpy()
    right = said == rows.y["test"]
    title = f"test samples: {right.mean():.1%} right" if len(right) else ""
    from couloir.artifacts.learned_pictures import regions_scene

    return regions_scene(rows, {"test": ~right}).picture(p.reshape(SIDE, SIDE, -1), title)


def _predictions(folder: RunFolder) -> Pixels | None:
    """Of what the test has written; None where there was no test."""
    cells: dict[str, list[str]] = {}
    for row in read_predictions(folder.path):
        for name, cell in row.items():
            if name.startswith(("truth", "prediction")):
                cells.setdefault(name, []).append(cell)
    named: dict[str, tuple[Values, Values]] = {}
    for name, column in cells.items():
        other = f"prediction{name.removeprefix('truth')}"
        if name.startswith("truth") and other in cells:
            value = name.removeprefix("truth").removeprefix("(").removesuffix(")")
            named[value] = np.array(column, np.float64), np.array(cells[other], np.float64)
    from couloir.artifacts.learned_pictures import predictions_picture

    return predictions_picture(named) if named else None
