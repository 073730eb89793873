"""What Couloir uses of Lightning's private parts; `tests/trainer/test_lightning_private.py` fails when they change.

Lightning 2 has no public loops and no public way past them. What is read in every step is a name here, and no call.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor as LightningsMonitor
from pytorch_lightning.loops.evaluation_loop import _EvaluationLoop
from pytorch_lightning.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from pytorch_lightning.loops.fit_loop import _FitLoop
from pytorch_lightning.loops.progress import _ProcessedTracker
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.utilities.combined_loader import _MaxSizeCycle
from pytorch_lightning.utilities.exceptions import SIGTERMException

from couloir.finetune.parts import FACTOR

DataFetcher = _DataFetcher
"""What hands a loop its batches."""
PrefetchDataFetcher = _PrefetchDataFetcher
"""The one that Lightning takes where nothing else is asked for."""
HOOK = "_current_fx_name"
"""A module's attribute: the hook that runs, for `self.log`."""
STEPPED = "_batches_that_stepped"
"""The attribute of the loop over steps that loggers take as the step's number."""


class Epochs(_FitLoop):
    """Lightning's loop over the epochs, which leaves to `place` where the batches begin when it is taken up."""

    def load_state_dict(self, state_dict: dict[str, Any], prefix: str = "") -> None:
        """Take the counters up as they stood; none of Lightning's own places to restart from is meant."""
        super().load_state_dict(state_dict, prefix)
        self.restarting = False
        for loop in (self, self.epoch_loop, self.epoch_loop.val_loop, self.epoch_loop.automatic_optimization):
            loop._loaded_from_state_dict = loop._resuming_from_checkpoint = False

    def _iteration_based_training(self) -> bool:
        """No: Lightning takes a run that is limited in its steps for one that restarts, whenever it is taken up."""
        return False

    def _load_combined_loader_states(self) -> None:
        assert self._combined_loader is not None
        self.place(self._combined_loader.flattened)

    def place(self, loaders: Iterable[Any]) -> None:
        """Let the loaders begin where the counters stand."""
        raise NotImplementedError


class Steps(_TrainingEpochLoop):
    """Lightning's loop over the steps of an epoch, with a clock.

    Attributes:
        waited: seconds spent on waiting for batches; whoever reads it sets it back.
    """

    waited = 0.0
    _fetching_since = 0.0

    def gathers(self) -> bool:
        """Whether the newest batch's gradients wait for those of more batches."""
        return self.trainer.accumulate_grad_batches > 1 and self._should_accumulate()

    has_all_batches = _TrainingEpochLoop._num_ready_batches_reached
    """Whether the epoch's last batch has been taken."""

    @property
    def ends_run(self) -> bool:
        """Whether the run has taken its last step, or has been told to end and may."""
        told = self.trainer.should_stop and self.trainer.fit_loop._can_stop_early
        return told or 0 <= self.max_steps <= self.global_step

    def validation_is_due(self) -> bool:
        """Whether the newest step of an epoch that is to be validated is followed by a validation."""
        raise NotImplementedError

    def validates(self, data_fetcher: DataFetcher) -> bool:
        """Whether the newest step is followed by a validation."""
        return self._should_check_val_fx(data_fetcher)

    def _should_check_val_fx(self, data_fetcher: DataFetcher) -> bool:
        return self._should_check_val_epoch() and self.validation_is_due()

    def _on_before_fetch(self) -> None:
        super()._on_before_fetch()
        self._fetching_since = time.perf_counter()

    def _on_after_fetch(self) -> None:
        self.waited += time.perf_counter() - self._fetching_since
        super()._on_after_fetch()


class Evaluation(_EvaluationLoop):
    """Lightning's loop over the batches of a validation or test, which lets `take` measure a batch in its place."""

    def take(self, batch: Any, index: int) -> bool:
        """Measure a batch; False where Lightning has to do it."""
        raise NotImplementedError

    def _evaluation_step(self, batch: Any, batch_idx: int, dataloader_idx: int, dataloader_iter: Any) -> None:
        if dataloader_iter is not None or self.trainer.sanity_checking or not self.take(batch, batch_idx):
            super()._evaluation_step(batch, batch_idx, dataloader_idx, dataloader_iter)
            return
        self._has_run = True
        self._seen_batches_per_dataloader[dataloader_idx] += 1
        if not self.batch_progress.is_last_batch and self.trainer.received_sigterm:
            raise SIGTERMException


def measure_by(trainer: Trainer, loop: type[Evaluation]) -> None:
    """Let a loop of this type measure the validations within a training, and the tests.

    `_trainer_fn`, `_stage`: what Lightning's own loops were made for, and what else they were told.
    """
    for owner, name in ((trainer.fit_loop.epoch_loop, "val_loop"), (trainer, "test_loop")):
        theirs = getattr(owner, name)
        ours = loop(trainer, theirs._trainer_fn, theirs._stage, theirs.verbose, theirs.inference_mode)
        setattr(owner, name, ours)


class SoleLoader:
    """The batches of an epoch's only loader, past the two iterators that Lightning puts around it.

    `fetched`, `done`, `_idx`: what these two know of how far they are stays true.

    Args:
        fetcher: hands out the epoch's batches.
        combined: what it asks for them.
        length: how many there are.
    """

    def __init__(self, fetcher: DataFetcher, combined: _MaxSizeCycle, length: int) -> None:
        self.fetcher, self.combined, self.length = fetcher, combined, length
        self.batches = combined.iterators[0]

    def __next__(self) -> Any:
        """The next batch."""
        fetcher = self.fetcher
        try:
            batch = next(self.batches)
        except StopIteration:
            fetcher.done = True
            raise
        self.combined._idx += 1
        fetcher.fetched += 1
        fetcher.done = fetcher.fetched >= self.length
        return batch


def sole_loader(fetcher: DataFetcher) -> SoleLoader | None:
    """What hands out an epoch's batches in the place of Lightning's fetcher; None where it does more than that.

    `_iterator`, `iterators`, `_spec`: of one loader that is no part of a collection the fetcher passes batches on.
    """
    combined, length = getattr(fetcher.iterator, "_iterator", None), fetcher.length
    if type(fetcher) is not PrefetchDataFetcher or length is None or fetcher.batches:
        return None
    if type(combined) is not _MaxSizeCycle or len(combined.iterators) != 1:
        return None
    spec = fetcher.combined_loader._spec
    return SoleLoader(fetcher, combined, length) if spec is not None and spec.num_nodes == 1 else None


class LearningRateMonitor(LightningsMonitor):
    """Logs the rate of each of an optimizer's groups, the factor of its part of the network in it.

    `_extract_lr`: what Lightning takes for a group's rate.
    """

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log, where it is time to: `STEPPED` says it at once, and Lightning asks half a dozen objects."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (trainer.fit_loop.epoch_loop.__dict__[STEPPED] + 1) % every == 0:
            super().on_train_batch_start(trainer, *args, **kwargs)

    def _extract_lr(self, param_group: dict[str, Any], name: str) -> dict[str, Any]:
        rate = param_group["lr"] * param_group.get(FACTOR, 1.0)
        self.lrs[name].append(rate)
        return {name: rate}


def take_back_epoch(epochs: _FitLoop) -> None:
    """Count the newest epoch as one that goes on. `_ProcessedTracker`: the counters' types are not public."""
    for tracker in (epochs.epoch_progress.current, epochs.epoch_progress.total):
        assert isinstance(tracker, _ProcessedTracker)
        tracker.processed -= 1
        tracker.completed -= 1


def logging_of(trainer: Trainer) -> Any:
    """What turns `self.log` into numbers for loggers. `_logger_connector`: a step that calls hooks itself tells it."""
    return trainer._logger_connector


@contextmanager
def as_if_in(hook: str, module: LightningModule) -> Iterator[None]:
    """Let a module log outside of its hooks as it would in one. `_current_fx_name`: `self.log` refuses it otherwise."""
    module.__dict__[HOOK] = hook
    try:
        yield
    finally:
        module.__dict__[HOOK] = None


def log_no_hyperparameters(module: LightningModule) -> None:
    """Have a test leave the loggers' hyperparameters alone. `_log_hyperparams`: in public it is set only once."""
    module._log_hyperparams = False


def leave_signals_to_the_run(trainer: Trainer) -> None:
    """Take SIGTERM out of Lightning's hands, where there are several processes.

    Its handler broadcasts from within the signal, between whatever two messages of the step it strikes, and each step
    begins with a broadcast that waits for the device. `callbacks.stop_on_signal` has the processes agree after the step
    instead. `_signal_connector`, `_broadcast_sigterm_tensor`: Lightning has no switch for either.
    """

    def nothing() -> None:
        return

    trainer._signal_connector.register_signal_handlers = nothing  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = nothing  # type: ignore[method-assign]
