"""The loss around the solution, and the way of the training to it, when a training ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor

from couloir.artifacts.landscape import (
    Surface,
    as_direction,
    draw_landscape,
    in_a_row,
    moving_weights,
    principal_directions,
    random_direction,
    spans,
    surface,
)
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.layer_kinds import undisturbed
from couloir.log import note, say
from couloir.ragged import length, part
from couloir.record.landscape import SURFACE, read_path, write_numbers, write_point
from couloir.task.task import Task, sum_of
from couloir.trainer.resumption import within_epoch

MOST_BYTES = 200_000_000
"""What the weights of all epochs together take on the disk at most."""
LEAST_POINTS = 4
"""Of a path: before the first step and after three epochs; a shorter one has no plane."""
AT_ONCE = 128
"""Samples that pass the network together."""


def landscape(
    draw: bool = False, points: int = 21, samples: int = 512, radius: float = 1.0, seed: int = 0
) -> Landscape | None:
    """A `Landscape`, or None where nothing is to be drawn."""
    return Landscape(points, samples, radius, seed) if draw else None


class Landscape(Callback):
    """Keeps the weights after each epoch, and when training ends draws `loss_surface.png`.

    The loss is that of a fixed sample of the training split, not augmented, with the network as in evaluation. The
    solution is the network as the last step has left it. Weights, running means, modes and random numbers are as before
    afterwards.

    Args:
        points: of an axis.
        samples: of the training split.
        radius: how far the random directions go, in units of each filter's norm.
        seed: of the random directions.
    """

    def __init__(self, points: int, samples: int, radius: float, seed: int) -> None:
        self.points, self.samples, self.radius, self.seed = points, samples, radius, seed
        self._every = 0
        """Epochs between two points of the path; 0: none is kept."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what has no such surface, and say where the path would be too large.

        Raises:
            CouloirError: several losses are minimised, or the weights are cut into shares.
        """
        assert isinstance(pl_module, Task)
        if not pl_module.automatic_optimization:
            raise CouloirError(
                "A loss surface is that of one loss, and the parts of this task's network minimise one each.",
                next_step="leave callbacks.landscape.draw out",
            )
        if isinstance(trainer.strategy, FSDPStrategy):
            raise CouloirError(
                "With trainer=fsdp each process has a share of the weights, and a loss surface moves all of them.",
                next_step="trainer=ddp, or leave callbacks.landscape.draw out",
            )
        each = 4 * sum(weight.numel() for weight in moving_weights(pl_module.net).values())
        if not each:
            raise CouloirError(
                "The network has no weights that a loss surface could move: tensors with two axes or more.",
                next_step="leave callbacks.landscape.draw out",
            )
        epochs = int(trainer.max_epochs or 1)
        self._every = -(-each * (epochs + 1) // MOST_BYTES) if each * LEAST_POINTS <= MOST_BYTES else 0
        if trainer.is_global_zero and self._every != 1:
            kept = f"one of {self._every} is" if self._every else "none is"
            say.info("the weights of %d epochs would take %.3g MB: %s kept for loss_surface.png", epochs,
                     each * (epochs + 1) / 1e6, kept)  # fmt: skip

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The path begins before the first step; a run that was resumed has its beginning."""
        if trainer.global_step == 0:
            self._keep(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the weights; an epoch that the run's end cuts short is none."""
        if not within_epoch(trainer):
            self._keep(trainer, pl_module, trainer.current_epoch + 1)

    def _keep(self, trainer: Trainer, module: LightningModule, epoch: int) -> None:
        assert isinstance(module, Task)
        if self._every and epoch % self._every == 0 and trainer.is_global_zero:
            write_point(Path(trainer.default_root_dir), epoch, in_a_row(moving_weights(module.net)).numpy())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process."""
        if not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Task)
        run, net = Path(trainer.default_root_dir), pl_module.net
        stop = next((each for each in trainer.callbacks if isinstance(each, StopOnSignal)), None)  # type: ignore[attr-defined]
        between = stop.stop_if_asked if stop is not None else lambda: None
        example = trainer.datamodule.example_batch(self.samples)  # type: ignore[attr-defined]
        batch = pl_module.placed(example)
        steps = np.linspace(-self.radius, self.radius, self.points)
        with undisturbed(pl_module):
            loss = _loss(pl_module, batch)
            directions = [random_direction(net, self.seed, number) for number in range(2)]
            found = surface(net, loss, directions, steps, steps, between)
            surfaces = [Surface(steps, steps, found, np.empty((0, 2)), [], ())]
            along_path = self._along_path(run, pl_module, loss, between)
        numbers = {"x": steps, "y": steps, "loss": found}
        if along_path is not None:
            surfaces.append(along_path)
            numbers |= {f"path_{name}": np.asarray(value) for name, value in zip(
                ("x", "y", "loss", "points", "epochs", "shares"), along_path, strict=True)}  # fmt: skip
        write_numbers(run, SURFACE, numbers)
        told = f"loss over {length(batch):,} training samples; the star is the network after the last step"
        undrawn = draw_landscape(run / f"{SURFACE}.png", surfaces, told)
        if undrawn is not None:
            note.info("%s", undrawn)

    def _along_path(
        self, run: Path, module: Task, loss: Callable[[], Tensor], between: Callable[[], None]
    ) -> Surface | None:
        """The plane in which the training has moved most; None where too little of its path is kept."""
        end = in_a_row(moving_weights(module.net)).numpy()
        epochs, path = read_path(run, len(end))
        reached = float(module.trainer.current_epoch)
        if within_epoch(module.trainer):  # the run has ended there
            batches = module.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            reached = round(reached + batches / module.trainer.num_training_batches, 2)
        before = [place for place, epoch in enumerate(epochs) if epoch < reached]
        if not self._every or len(before) + 1 < LEAST_POINTS:
            return None
        path = np.concatenate([path[before], end[None]])
        directions, along, shares = principal_directions(path)
        x, y = spans(along, self.points)
        found = surface(module.net, loss, [as_direction(row, module.net) for row in directions], x, y, between)
        return Surface(x, y, found, along, [*(epochs[place] for place in before), reached], shares)


def _loss(task: Task, batch: Batch) -> Callable[[], Tensor]:
    """The mean loss of a batch with the weights that the network has; what is drawn is the same each time."""
    count = length(batch)
    places = [
        torch.arange(start, min(start + AT_ONCE, count), device=task.device) for start in range(0, count, AT_ONCE)
    ]
    parts = [{name: part(field, chosen) for name, field in batch.items()} for chosen in places]

    def loss() -> Tensor:
        torch.manual_seed(0)
        total, weights = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for each in parts:
            step = task.compute(each)
            weight = torch.as_tensor(length(each) if step.weight is None else step.weight)
            total = total + sum_of(step.losses).detach().double().cpu() * weight.double().cpu()
            weights = weights + weight.double().cpu()
        return total / weights

    return loss
