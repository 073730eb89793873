"""What a run leaves at its end whose network makes things: `samples.png`, and how near these are to training images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.nn import Module

from couloir.artifacts.made_pictures import (
    classes_told,
    described,
    drawn,
    first_samples,
    made_picture,
    makes_pictures,
    told_labels,
)
from couloir.artifacts.map_pictures import maps_png
from couloir.artifacts.neighbours import COUNT, SHOWN, nearest, neighbours_figure, pairs, ratio
from couloir.artifacts.prediction_table import ORIGIN_FILE, origin
from couloir.artifacts.sample_grid import as_png
from couloir.config.fields import SAMPLE
from couloir.distributed import in_shares
from couloir.layer_kinds import looking
from couloir.log import note
from couloir.record.files import write_atomically
from couloir.record.folder import RunFolder
from couloir.record.tested import Grid, write_neighbours
from couloir.task.generative import Generative

MEASURED, AGAINST = 1_000, 60_000
"""Made and test images that are measured, and training images that they are compared with, at most."""
RATIO = "test/neighbour_ratio"
FILM = "callbacks.samples"


def write_made(
    cfg: DictConfig, module: Any, data: Any, folder: RunFolder, tested: bool, between: Callable[[], None] = lambda: None
) -> tuple[dict[str, float], dict[str, Grid]]:
    """Write `samples.png`, `neighbours.png` and `neighbours.csv`, as far as the task makes pictures.

    Args:
        cfg: the run's configuration; with `callbacks.samples.every_n_epochs=null` nothing is drawn.
        module: the task, with the weights that were tested, or the best.
        data: its data, set up.
        folder: the run's folder.
        tested: whether the test split may be looked at.
        between: called between two parts of the work; it may end it by an exception.

    Returns:
        the number `test/neighbour_ratio`, where codes can be drawn, and what `pictures.json` says of each picture.
    """
    keys = OmegaConf.select(cfg, FILM)
    if keys is None or keys.get("every_n_epochs") is None or not makes_pictures(module):
        return {}, {}
    if in_shares(module):
        note.info("no samples.png: the weights are cut into shares; `couloir sample` draws with the checkpoint")
        return {}, {}
    count, seed = int(keys.get("count", 64)), int(keys.get("seed", cfg.seed))
    with _on(module, data.device):
        shown = first_samples(module, data, count)
        picture, grid = made_picture(module, shown, count, seed)
        write_atomically(folder.path / "samples.png", as_png(picture))
        grids = {"samples": grid}
        if not tested or not module.can_draw:
            return {}, grids
        with looking(module):
            numbers, grids["neighbours"] = _neighbours(module, data, folder, seed, between)
    return numbers, grids


@contextmanager
def _on(module: Module, device: torch.device) -> Iterator[None]:
    """The network where the data is; Lightning has taken it back to the CPU."""
    before = next(module.parameters()).device
    module.to(device)
    try:
        yield
    finally:
        module.to(before)


def _neighbours(
    task: Generative, data: Any, folder: RunFolder, seed: int, between: Callable[[], None]
) -> tuple[dict[str, float], Grid]:
    """Draw and write the neighbours, and measure how near they are."""
    began = time.perf_counter()
    held_out = torch.cat([task.pixels(batch[task.input]) for batch in data.spread("test", MEASURED)])
    made = drawn(task, MEASURED, seed).to(held_out.device)
    between()
    seen: dict[str, list[Tensor]] = {SAMPLE: [], "label": []}

    def images() -> Iterator[Tensor]:
        for batch in data.spread("train", AGAINST):
            for name, field in ((SAMPLE, SAMPLE), ("label", task.label_field)):
                if field in batch:
                    seen[name].append(batch[field])
            yield task.pixels(batch[task.input])
            between()

    found = nearest(torch.cat([made, held_out]), images())
    found = found._replace(distances=found.distances.cpu(), numbers=found.numbers.cpu(), images=found.images.cpu())
    classes = [str(name) for name in task.classes]
    known: dict[str, Any] = {}
    if seen[SAMPLE]:
        numbers = torch.cat(seen[SAMPLE]).cpu().numpy()
        known["index"] = numbers
        if (source := origin(data, "train")) is not None and source[0] == ORIGIN_FILE:
            known["file"] = source[1](numbers)
    if seen["label"] and seen["label"][0].ndim == 1:
        known["label"] = [classes[label] for label in torch.cat(seen["label"]).tolist()]
    shown = min(SHOWN, len(made))
    labels = told_labels(task, torch.arange(shown))
    told = [""] * shown if labels is None else [classes[label] for label in labels.tolist()]
    columns = pairs(found, shown, known)
    if classes_told(task):
        columns["class"] = [told[int(number)] for number in columns["made"]]
    write_neighbours(folder, columns)
    figure = neighbours_figure(
        made[:shown].cpu(), found, lambda number: f"{number}: {told[number]}" if told[number] else str(number)
    )
    write_atomically(folder.path / "neighbours.png", maps_png(figure))
    measured = ratio(found.distances[: len(made), 0], found.distances[len(made) :, 0])
    note.info("nearest training images: %.1f s", time.perf_counter() - began)
    if measured is None:
        note.info("no %s: test images are training images as well", RATIO)
    numbers_found = {} if measured is None else {RATIO: measured}
    return numbers_found, described(made, 1 + COUNT, shown * (1 + COUNT))
