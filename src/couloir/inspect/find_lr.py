"""The learning-rate range test of Smith, 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3.

Smith lets the rate grow on a line over some epochs and reads off where the accuracy begins to rise and where it turns
ragged. Here it grows by a constant factor a step, so that one test spans all magnitudes, and the loss is watched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich import get_console

from couloir.callbacks.progress import shown_number
from couloir.config.compose import Sentence
from couloir.config.scaling import unscaled
from couloir.errors import CouloirError, display
from couloir.inspect.probe import Probe, probing, steps_taken, training_sentence
from couloir.inspect.rate_curve import RateCurve, draw_rate_curve, exponential_rates, read_curve
from couloir.log import on_a_terminal, say
from couloir.record.files import as_csv
from couloir.record.folder import RunFolder
from couloir.record.result import write_result
from couloir.task.task import step_loss

EXPLODED = 4.0
"""The test ends where the loss is so many times its least, and larger than at the start."""
MEMORY = 0.9
"""Share of the running mean of the loss that stays from step to step, by which the test decides to end."""


def find_lr(
    sentence: Sentence, folder: RunFolder, low: float, high: float, steps: int, command: list[str]
) -> RateCurve:
    """Run the test, say what it suggests, and write `find_lr.csv`, `find_lr.png` and `result.json`.

    Args:
        sentence: a checked sentence, whose optimizer has a rate.
        folder: where the record goes.
        low: the first rate.
        high: the last rate.
        steps: steps from the one to the other.
        command: what was typed.

    Raises:
        CouloirError: the parts do not go together, or the loss falls at none of the rates.
    """
    cfg = sentence.cfg
    with probing(folder, sentence, command) as stop:
        probe = Probe.of(cfg)
        if probe.module.players:
            raise CouloirError(
                f"A range test looks for the rates at which a loss falls. {type(probe.module).__name__} has "
                f"{' and '.join(probe.module.players)}, who play against each other: neither loss needs to fall.",
                next_step="begin with the rate of a paper, optimizer.lr=0.0002, and compare runs of a few epochs",
            )
        say.info("%d steps at rates from %g to %g", steps, low, high)
        curve = range_test(probe, exponential_rates(low, high, steps), float(cfg.optimizer.lr), [stop])
        folder.write_text("find_lr.csv", _as_csv(curve))
        words = " ".join(f"{group}={sentence.choices[group]}" for group in ("model", "data", "optimizer"))
        draw_rate_curve(curve, folder.path / "find_lr.png", f"{words} data.batch_size={probe.data.batch_size}")
        write_result(folder, _numbers(curve, sentence))
        if curve.steepest is None or curve.lowest is None or curve.conservative is None:
            raise CouloirError(
                f"The loss does not clearly fall at any rate from {low:g} to {curve.rates[-1]:g}.",
                place=display(folder.path / "find_lr.png"),
                next_step="look at the picture; more --steps, a smaller --min or a larger data.batch_size may show it",
            )
        rate = _typed(unscaled(cfg, curve.steepest))
        how = cfg.get("scaled_lr")
        scaled = f" (optimizer.lr={rate} before optimizer.scale_lr={how.rule})" if how is not None else ""
        say.info(
            "%s",
            f"steepest descent at lr {_typed(curve.steepest)}{scaled}; the loss is least, "
            f"{shown_number(min(value for value in curve.smoothed if math.isfinite(value)))}, at "
            f"{_typed(curve.lowest)}, a tenth of which, {_typed(curve.conservative)}, is the careful choice\n"
            f"try:     {training_sentence(sentence.overrides, 'optimizer.lr', f'optimizer.lr={rate}')}\n"
            f"picture: {display(folder.path / 'find_lr.png')}",
        )
    return curve


def range_test(probe: Probe, rates: list[float], lr: float, callbacks: list[Callback]) -> RateCurve:
    """Take a step at each rate, in turn, until the loss explodes; the probe's own weights stay as they are.

    Args:
        probe: what is trained.
        rates: the rates.
        lr: the optimizer's own rate; a group of parameters with another one keeps its ratio to it.
        callbacks: what else watches.
    """
    test = _RangeTest(rates, lr)
    with test.shown():
        probe.steps([test, *callbacks], len(rates))
    return read_curve(rates[: len(test.losses)], test.losses)


class _RangeTest(Callback):
    """Sets the rate before each step and takes down the loss, the mean over the batches of a step."""

    def __init__(self, rates: list[float], lr: float) -> None:
        self.rates, self.lr = rates, lr
        self.losses: list[float] = []
        self._ratios: list[float] = []
        self._batches: list[float] = []
        self._mean, self._least = 0.0, math.inf
        self._show: Any = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Count the steps on a terminal."""
        if not on_a_terminal():
            yield
            return
        with get_console().status("range test") as self._show:
            yield

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note how the groups' rates relate."""
        self._ratios = [float(group["lr"]) / self.lr for group in _groups(trainer)]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The rate of the step that this batch belongs to."""
        for group, ratio in zip(_groups(trainer), self._ratios, strict=True):
            group["lr"] = self.rates[len(self.losses)] * ratio

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the loss down; once it has exploded, every later step is lost as well."""
        self._batches.append(float(step_loss(pl_module, outputs)))
        if steps_taken(trainer) == len(self.losses):
            return
        self.losses.append(sum(self._batches) / len(self._batches))
        self._batches = []
        if self._exploded():
            trainer.should_stop = True
        if self._show is not None:
            self._show.update(f"range test: step {len(self.losses)}/{len(self.rates)}, loss {self.losses[-1]:.4g}")

    def _exploded(self) -> bool:
        loss, count = self.losses[-1], len(self.losses)
        if not math.isfinite(loss):
            return True
        self._mean = MEMORY * self._mean + (1 - MEMORY) * loss
        mean = self._mean / (1 - MEMORY**count)  # the running mean begins at zero
        self._least = min(self._least, mean)
        bound = self._least + (EXPLODED - 1) * abs(self._least)
        return mean > max(bound, self.losses[0])


def _groups(trainer: Trainer) -> list[dict[str, Any]]:
    """The groups of parameters of all optimizers."""
    return [group for optimizer in trainer.optimizers for group in optimizer.param_groups]


def _typed(value: float) -> str:
    return f"{value:.3g}"


def _as_csv(curve: RateCurve) -> str:
    rows = zip(curve.rates, curve.losses, curve.smoothed, strict=True)
    return as_csv(["step", "lr", "loss", "smoothed"], [(step, *row) for step, row in enumerate(rows, 1)])


def _numbers(curve: RateCurve, sentence: Sentence) -> dict[str, Any]:
    suggestion = None if curve.steepest is None else float(_typed(unscaled(sentence.cfg, curve.steepest)))
    return {
        "optimizer.lr": suggestion,
        "steepest_lr": curve.steepest,
        "least_loss_lr": curve.lowest,
        "conservative_lr": curve.conservative,
        "steps": len(curve.losses),
    }
