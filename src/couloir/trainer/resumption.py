"""Where a training can be left and taken up again, to the bit.

Lightning resumes from several places within its loops, and at each of them it repeats or leaves out something else: a
plateau schedule's step, an epoch's metrics, a validation. Here there are three places: between two steps, between two
epochs, and in the validation that ends an epoch, which begins anew. At each, all that belongs to what lies behind is
done, and nothing of what lies ahead.

A run may end within an epoch: after `max_steps`, at the end of its time, or told to by a callback. The epoch is then
closed with the numbers that it has so far, but what is saved stands between two steps, so that a run that is to take
more steps goes on with the epoch's next batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from couloir.distributed import everyones
from couloir.log import say
from couloir.metric.gathered import Gathered
from couloir.task.task import Task
from couloir.trainer.lightning_private import DataFetcher, Epochs, Steps, as_if_in, take_back_epoch
from couloir.trainer.random_state import random_state, set_random_state


class ExactEpochs(Epochs):
    """Lightning's loop over the epochs, with a place to stop between two of them.

    Callbacks that have a method `between_steps(trainer, epoch_over)` hear of each such place: checkpoints are saved
    there, and runs stop there.
    """

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Take the counters up as they stood."""
        super().load_state_dict(state_dict, prefix)
        assert isinstance(self.epoch_loop, ExactSteps)
        self.epoch_loop.within = self.epoch_progress.current.ready > self.epoch_progress.current.completed

    def place(self, loaders: Iterable[Any]) -> None:
        """Let the batches begin where the counters stand."""
        steps = self.epoch_loop
        assert isinstance(steps, ExactSteps)
        epoch, position = self.epoch_progress.current.completed, 0
        if steps.within and steps.batch_progress.is_last_batch:  # only the validation remains
            epoch += 1
        elif steps.within:
            position = steps.batch_progress.current.ready
        for batches in loaders:
            if hasattr(batches, "load_state_dict") and (epoch, position) != (0, 0):
                batches.load_state_dict({"epoch": epoch, "position": position})

    def on_advance_start(self) -> None:
        """Before an epoch; one that is taken up has begun before."""
        steps = self.epoch_loop
        if isinstance(steps, ExactSteps) and steps.within:
            return
        super().on_advance_start()

    def on_advance_end(self) -> None:
        """After an epoch, or as much of it as the run has time for; the schedules that wait for its metrics have been
        told as well.
        """
        steps = self.epoch_loop
        cut = isinstance(steps, ExactSteps) and not steps.has_all_batches()
        super().on_advance_end()
        if cut:  # its other batches can still be asked for
            take_back_epoch(self)
            batches = f"{steps.batch_progress.current.ready} of {self.trainer.num_training_batches} batches"
            say.info("the run ends within epoch %d, after %s", self.trainer.current_epoch + 1, batches)
        tell(self.trainer, epoch_over=True)


class ExactSteps(Steps):
    """Lightning's loop over the steps of an epoch, with a place to stop between two of them.

    Attributes:
        within: whether the loop is taken up within an epoch; its counters then stand where they were left.
        owes_validation: whether it was left in a validation within the epoch, which begins anew.
        val_check_interval: batches between two validations within an epoch, or their share of it; None: at its end
            alone.
        waited: seconds that this epoch has waited for batches so far.
    """

    within = owes_validation = False
    _told: Sequence[Callable[[Trainer, bool], None]] = ()
    val_check_interval: int | float | None = None

    def reset(self) -> None:
        """Set the counters back, unless the epoch is taken up."""
        if not self.within:
            super().reset()

    def run(self, data_fetcher: DataFetcher) -> None:
        """One epoch, or what remains of it: perhaps its validation alone."""
        if not (self.within and self.has_all_batches()):
            if self.within and self.owes_validation:
                self.val_loop.batch_progress.reset()
                self.on_advance_end(data_fetcher)
            self.owes_validation = False
            super().run(data_fetcher)
            if not self.has_all_batches():
                self._close()
            return
        self.owes_validation = False
        self.val_loop.batch_progress.reset()
        self.on_run_start(data_fetcher)
        module = self.trainer.lightning_module
        assert isinstance(module, Task)
        with as_if_in("on_train_batch_end", module):
            module.log_epoch_again()
        self.on_advance_end(data_fetcher)
        self.on_iteration_done()

    def _close(self) -> None:
        """End an epoch before its last batch: what it has measured so far is its own."""
        module = self.trainer.lightning_module
        if isinstance(module, Task):
            with as_if_in("on_train_batch_end", module):
                module.log_epoch_so_far()

    @property
    def done(self) -> bool:
        """Whether the epoch's steps are over; whoever ends a run waits until all gathered gradients are used."""
        over: bool = super().done
        return over and not bool(self.gathers())

    def validation_is_due(self) -> bool:
        """At the epoch's end, at the run's, and wherever `val_check_interval` asks for it."""
        if self.gathers():
            return False
        return self.has_all_batches() or self.ends_run or self._reaches_interval(self.batch_progress.current.ready)

    def _reaches_interval(self, ready: int) -> bool:
        """Whether a multiple of the interval lies within the step that ends with batch `ready`, counted from one."""
        interval = self.val_check_interval
        if interval is None:
            return False
        batches = float(interval if isinstance(interval, int) else interval * self.trainer.num_training_batches)
        before = ready - 1 - (ready - 1) % int(self.trainer.accumulate_grad_batches)
        return math.floor(ready / batches + 1e-9) > math.floor(before / batches + 1e-9)

    def closes(self, ready: int) -> bool:
        """Whether batch `ready` may be followed by something else than the next batch's step."""
        last_step = 0 <= self.max_steps <= self.global_step + len(self.trainer.optimizers)  # a step of each at most
        return last_step or ready >= self.trainer.num_training_batches or self._reaches_interval(ready)

    def update_lr_schedulers(self, interval: str, update_plateau_schedulers: bool) -> None:
        """Let schedules take a step; a plateau counts measurements, and waits where there is no new one."""
        if update_plateau_schedulers and interval == "epoch":
            waiting = [config.monitor for config in self.trainer.lr_scheduler_configs if config.reduce_on_plateau]
            if any(monitor not in self.trainer.callback_metrics for monitor in waiting):
                return
        super().update_lr_schedulers(interval, update_plateau_schedulers)

    def on_run_start(self, data_fetcher: DataFetcher) -> None:
        """Before the first step."""
        self.waited = 0.0
        super().on_run_start(data_fetcher)
        self.within = False
        self._told = listeners(self.trainer)

    def on_advance_end(self, data_fetcher: DataFetcher) -> None:
        """After a step, and the validation if one was due."""
        within = not self.has_all_batches() and self.validates(data_fetcher)
        super().on_advance_end(data_fetcher)
        if within:
            self.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        self._say_where_it_stands()

    def _say_where_it_stands(self) -> None:
        """A step is over when its gradients are used; the end of an epoch is the outer loop's to say."""
        if not self.gathers() and not self.has_all_batches():
            for hear in self._told or listeners(self.trainer):  # a validation that begins anew comes before the run
                hear(self.trainer, False)


def seconds_waited(trainer: Trainer) -> float:
    """The seconds that the training's newest epoch has waited for batches since it began or was taken up."""
    steps = trainer.fit_loop.epoch_loop
    return steps.waited if isinstance(steps, ExactSteps) else 0.0


def within_epoch(trainer: Trainer) -> bool:
    """Whether the training stands within an epoch: batches of it are still to come, or would be."""
    steps = trainer.fit_loop.epoch_loop
    return isinstance(steps, ExactSteps) and not steps.has_all_batches()


def epoch_reached(trainer: Trainer) -> float:
    """How often training has gone through its split: 4 at the end of the fourth epoch, 3.75 within it.

    It is asked for before the epoch is counted as complete: while its last step, its validation or its end is heard of.
    """
    if not within_epoch(trainer):
        return trainer.current_epoch + 1
    share = trainer.fit_loop.epoch_loop.batch_progress.current.ready / trainer.num_training_batches
    return round(trainer.current_epoch + share, 4)


def listeners(trainer: Trainer) -> list[Callable[[Trainer, bool], None]]:
    """Those who save or stop where the training stands between two steps.

    Who saves comes first: Lightning puts checkpoints at the end of its list.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback.between_steps for callback in reversed(callbacks) if hasattr(callback, "between_steps")]


def tell(trainer: Trainer, epoch_over: bool) -> None:
    """Let them know that the training stands between two steps."""
    for hear in listeners(trainer):
        hear(trainer, epoch_over)


class Resumption(Callback):
    """What a process must know beside weights and counters to go on as if it had never stopped.

    That is, of each process: its random numbers, the metrics of the epoch so far, and what its task keeps from batch to
    batch; of all: the metrics last logged,
    and whether the training has been told to end. It has to be the last callback that hears of the training's start,
    so that nobody draws a random number after it.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Collect it from all processes."""
        metrics = _metrics(pl_module)
        own = {"random": random_state(), "metrics": None if metrics is None else metrics.state_dict()}
        kept = getattr(pl_module, "kept", None)
        if kept is not None:
            own["kept"] = _copied(kept, torch.device("cpu"))
        checkpoint["resumption"] = {
            "processes": everyones(own),
            "logged": {name: value.cpu() for name, value in trainer.callback_metrics.items()},
            "measured": dict(getattr(pl_module, "measured", {})),
            "told_to_end": trainer.should_stop,
            "validating": trainer.validating,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take it up for a training; a test begins from weights alone."""
        if trainer.state.fn != "fit" or "resumption" not in checkpoint:
            return
        self._saved = checkpoint["resumption"]
        trainer.should_stop = bool(self._saved["told_to_end"])
        steps = trainer.fit_loop.epoch_loop
        if isinstance(steps, ExactSteps):  # earlier checkpoints do not know it, and have no validation within an epoch
            steps.owes_validation = bool(self._saved.get("validating", False))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put everything in its place, after whatever the start has drawn."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        own = saved["processes"][trainer.global_rank]
        metrics = _metrics(pl_module)
        if metrics is not None:
            metrics.load_state_dict(own["metrics"])
        if own.get("kept") is not None:
            pl_module.kept = _copied(own["kept"], pl_module.device)
        getattr(pl_module, "measured", {}).update(saved["measured"])
        trainer.callback_metrics.update(saved["logged"])
        set_random_state(own["random"])


def _metrics(module: LightningModule) -> Gathered | None:
    """The metrics of the training split, where the module is one that keeps them so."""
    gathered: dict[str, Gathered] = getattr(module, "gathered", {})
    return gathered.get("train")


def _copied(kept: Any, device: torch.device) -> Any:
    """A copy of tensors, or of tuples of them, on a device."""
    if isinstance(kept, Tensor):
        return kept.detach().to(device, copy=True)
    return tuple(_copied(part, device) for part in kept)
