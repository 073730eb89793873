"""Where a training can be left and taken up again, to the bit.

Lightning resumes from several places within its loops, and at each of them it repeats or leaves out something else: a
plateau schedule's step, an epoch's metrics, a validation. Here there are three places: between two steps, between two
epochs, and in the validation that ends an epoch, which begins anew. At each, all that belongs to what lies behind is
done, and nothing of what lies ahead.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from couloir.distributed import everyones
from couloir.metric.gathered import Gathered
from couloir.task.task import Task
from couloir.trainer.lightning_private import DataFetcher, Epochs, Steps, as_if_in
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
        """After an epoch, when the schedules that wait for its metrics have been told as well."""
        super().on_advance_end()
        tell(self.trainer, epoch_over=True)


class ExactSteps(Steps):
    """Lightning's loop over the steps of an epoch, with a place to stop between two of them.

    Attributes:
        within: whether the loop is taken up within an epoch; its counters then stand where they were left.
        waited: seconds that this epoch has waited for batches so far.
    """

    within = False

    def reset(self) -> None:
        """Set the counters back, unless the epoch is taken up."""
        if not self.within:
            super().reset()

    def run(self, data_fetcher: DataFetcher) -> None:
        """One epoch, or what remains of it: perhaps its validation alone."""
        if not (self.within and self.has_all_batches()):
            super().run(data_fetcher)
            return
        self.val_loop.batch_progress.reset()
        self.on_run_start(data_fetcher)
        module = self.trainer.lightning_module
        assert isinstance(module, Task)
        with as_if_in("on_train_batch_end", module):
            module.log_epoch_again()
        self.on_advance_end(data_fetcher)
        self.on_iteration_done()

    def on_run_start(self, data_fetcher: DataFetcher) -> None:
        """Before the first step."""
        self.waited = 0.0
        super().on_run_start(data_fetcher)
        self.within = False

    def on_advance_end(self, data_fetcher: DataFetcher) -> None:
        """After a step, and the validation if one was due."""
        super().on_advance_end(data_fetcher)
        self._say_where_it_stands()

    def _say_where_it_stands(self) -> None:
        """A step is over when its gradients are used; the end of an epoch is the outer loop's to say."""
        if not self.gathers() and not self.has_all_batches():
            tell(self.trainer, epoch_over=False)


def seconds_waited(trainer: Trainer) -> float:
    """The seconds that the training's newest epoch has waited for batches since it began or was taken up."""
    steps = trainer.fit_loop.epoch_loop
    return steps.waited if isinstance(steps, ExactSteps) else 0.0


def tell(trainer: Trainer, epoch_over: bool) -> None:
    """Let those who save or stop know that the training stands between two steps.

    Who saves comes first: Lightning puts checkpoints at the end of its list.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in reversed(callbacks):
        if hasattr(callback, "between_steps"):
            callback.between_steps(trainer, epoch_over)


class Resumption(Callback):
    """What a process must know beside weights and counters to go on as if it had never stopped.

    That is, of each process: its random numbers, and the metrics of the epoch so far; of all: the metrics last logged,
    and whether the training has been told to end. It has to be the last callback that hears of the training's start,
    so that nobody draws a random number after it.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Collect it from all processes."""
        metrics = _metrics(pl_module)
        own = {"random": random_state(), "metrics": None if metrics is None else metrics.state_dict()}
        checkpoint["resumption"] = {
            "processes": everyones(own),
            "logged": {name: value.cpu() for name, value in trainer.callback_metrics.items()},
            "measured": dict(getattr(pl_module, "measured", {})),
            "told_to_end": trainer.should_stop,
        }

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take it up for a training; a test begins from weights alone."""
        if trainer.state.fn != "fit" or "resumption" not in checkpoint:
            return
        self._saved = checkpoint["resumption"]
        trainer.should_stop = bool(self._saved["told_to_end"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put everything in its place, after whatever the start has drawn."""
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        own = saved["processes"][trainer.global_rank]
        metrics = _metrics(pl_module)
        if metrics is not None:
            metrics.load_state_dict(own["metrics"])
        getattr(pl_module, "measured", {}).update(saved["measured"])
        trainer.callback_metrics.update(saved["logged"])
        set_random_state(own["random"])


def _metrics(module: LightningModule) -> Gathered | None:
    """The metrics of the training split, where the module is one that keeps them so."""
    gathered: dict[str, Gathered] = getattr(module, "gathered", {})
    return gathered.get("train")
