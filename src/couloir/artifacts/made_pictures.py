"""What a network makes, as one picture: of the same codes each time, or of the same samples and what it rebuilds.

`samples/epoch_0001.png` and so on is that picture after each epoch, `samples.png` that of the best checkpoint.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from couloir.artifacts.sample_grid import GAP, Pixels, below, columns_for, enlarged, grid
from couloir.config.fields import SAMPLE
from couloir.data.batches import Batch
from couloir.layer_kinds import looking
from couloir.ragged import joined, moved
from couloir.record.tested import Grid
from couloir.task.generative import Generative
from couloir.task.rebuilding import Rebuilt

AT_ONCE = 100
"""Pictures that the network makes together."""
MOST_COLUMNS = 20
"""Classes up to which each has a column of its own."""


def makes_pictures(module: object) -> bool:
    """Whether a task makes images, or rebuilds them, so that there is something to see."""
    return isinstance(module, Generative) and module.makes_images and (module.can_draw or module.can_encode)


def first_samples(task: Generative, data: Any, count: int) -> Batch | None:
    """The validation samples that a picture shows again and again; None of a task whose codes are drawn.

    They come from all over the split.

    Args:
        task: that of the run.
        data: its data, set up.
        count: pictures of the grid; each sample has two of them or, where its input is corrupted, three.
    """
    if task.can_draw:
        return None
    batches = list(data.spread("val", max(1, count // 2)))
    shown: Batch = {name: joined([batch[name] for batch in batches]) for name in batches[0]}
    # Where the data tells no numbers, the corruption of a sample still follows from one.
    return {SAMPLE: torch.arange(len(shown[task.input])), **shown}


def made_picture(task: Generative, shown: Batch | None, count: int, seed: int) -> tuple[Pixels, Grid]:
    """The picture, and what `pictures.json` says of it.

    Of drawn codes, the numbers 0, 1, ... of a seed: row by row, or of a network that is told classes, a class a column.
    Of samples: rows of what was there, of what the network was given where that is corrupted, and of what it rebuilt.

    Args:
        task: of the run; the network is in evaluation mode for it. No generator of the run is moved.
        shown: of `first_samples`.
        count: pictures, at most.
        seed: of the codes.
    """
    with looking(task):
        if shown is None:
            columns = picture_columns(task, count)
            pictures = drawn(task, count, seed)
            return grid(pictures, columns), described(pictures, columns, count)
        kinds = compared(task, shown)
        samples = min(len(kinds[0]), max(1, count // len(kinds)))
        columns = min(samples, columns_for(samples * len(kinds)))
        kinds = [kind[:samples] for kind in kinds]
        return below(kinds, columns), described(kinds[0], columns, samples * len(kinds))


def classes_told(task: Generative) -> int:
    """How many classes the network is told of; 0: it is told none."""
    return int(task.num_classes) if task.conditional and task.num_classes else 0


def picture_columns(task: Generative, count: int) -> int:
    """How many pictures a row has: a class a column, or as many as make about a square."""
    classes = classes_told(task)
    return min(classes, count) if 0 < classes <= MOST_COLUMNS else columns_for(count)


def told_labels(task: Generative, numbers: Tensor) -> Tensor | None:
    """The class that each number's picture is made of, one after the other; None where the network is told none."""
    classes = classes_told(task)
    return (numbers % classes).to(task.device) if classes else None


def drawn(task: Generative, count: int, seed: int) -> Tensor:
    """The pictures of the codes 0 to `count` - 1 of a seed, (count, C, H, W) in [0, 1], on the CPU."""
    parts = []
    for start in range(0, count, AT_ONCE):
        numbers = torch.arange(start, min(start + AT_ONCE, count))
        parts.append(task.make(task.draw(numbers, seed), told_labels(task, numbers)).float().cpu())
    return torch.cat(parts)


def compared(task: Generative, shown: Batch) -> list[Tensor]:
    """The pictures of some samples, (N, C, H, W) each: what was there, what the network was given, what it rebuilt."""
    batch: Batch = {name: moved(field, task.device) for name, field in shown.items()}
    clean, seen = task.pixels(batch[task.input]), task.outputs(batch)  # as a test sees them, corrupted where it is
    if isinstance(seen, Rebuilt):
        corrupted = not torch.equal(seen.given, clean)
        pictures = [clean, *([seen.given] if corrupted else []), cast(Any, task).answer(seen)]
    else:
        pictures = [clean, task.rebuilt(batch)]
    return [picture.float().cpu() for picture in pictures]


def described(pictures: Tensor, columns: int, count: int) -> Grid:
    """What `pictures.json` says of a grid of such pictures."""
    height, width = pictures.shape[2:]
    factor = enlarged(height, width)
    return Grid(columns, (factor * width, factor * height), count, gap=GAP)
