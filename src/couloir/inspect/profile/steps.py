"""Training steps that are only timed: those of a sentence, with its callbacks and loggers, on a copy of its network."""

from __future__ import annotations

import copy
import itertools
import statistics
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.seed import isolate_rng

from couloir.callbacks.divergence import divergence
from couloir.callbacks.gradients import Gradients, steps_between_looks
from couloir.callbacks.momentum import MomentumSchedule
from couloir.callbacks.progress import Progress
from couloir.config.build import build
from couloir.config.unread import PLAIN
from couloir.data.batches import Batch
from couloir.data.plain import TRANSFER
from couloir.inspect.probe import Probe
from couloir.inspect.profile.account import LOADING, METRICS, Span
from couloir.inspect.profile.clock import Clock
from couloir.inspect.profile.instruments import Instruments
from couloir.ragged import length
from couloir.record.folder import RunFolder
from couloir.run.features import features_once
from couloir.task.task import Task
from couloir.trainer.loop import LISTENED

WARM_UP = 3
"""Steps before the clock starts: they allocate memory, choose algorithms and wait for workers to start."""
SLOW = 0.5
"""Seconds of a step from which on one such step is enough."""
ENDS = (
    "on_train_epoch_end", "on_train_end", "on_fit_end", "on_validation_model_zero_grad",
    "on_save_checkpoint", "between_steps",
)  # fmt: skip
"""What callbacks do at the end of an epoch or a run; here no epoch ends and nothing is saved."""
LOCAL = (
    "couloir.logger.tensorboard.TensorBoard", "pytorch_lightning.loggers.TensorBoardLogger",
    "pytorch_lightning.loggers.CSVLogger",
)  # fmt: skip
"""Loggers that only write files, into a folder that is thrown away; others would tell a server of a run."""


@dataclass(frozen=True)
class Found:
    """What the steps found when they began.

    Attributes:
        device: what they run on.
        threads: CPU threads of an operation.
        fusible: whether PyTorch has a fused kernel for the optimizer.
    """

    device: str = ""
    threads: int = 0
    fusible: bool = False


@dataclass(frozen=True)
class Round:
    """Some steps in a row.

    Attributes:
        marks: when the steps began, and when the last one ended, in seconds.
        samples: of all of them together.
        spans: what happened in them; empty where only the steps were timed.
        kinds: the class of each module that was timed, by its path.
        found: what they found when they began.
    """

    marks: list[float]
    samples: int
    spans: list[Span]
    kinds: dict[str, str]
    found: Found

    @property
    def durations(self) -> list[float]:
        """Seconds of each step."""
        return [end - begin for begin, end in itertools.pairwise(self.marks)]

    @property
    def seconds(self) -> float:
        """Of all steps."""
        return self.marks[-1] - self.marks[0]

    @property
    def samples_per_second(self) -> float:
        """Samples of all steps over their time."""
        return self.samples / self.seconds

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.durations)


@dataclass
class Setting:
    """A sentence whose steps are timed.

    Attributes:
        cfg: the sentence.
        module: its task; copies of it are trained.
        data: its data, set up.
        batch_size: samples of its batches; None: as the data has it.
    """

    cfg: DictConfig
    module: Task
    data: Any
    batch_size: int | None = None

    @classmethod
    def of(cls, probe: Probe) -> Setting:
        """The setting of a probe."""
        return cls(probe.cfg, probe.module, probe.data)

    def batches(self) -> Any:
        """The training batches, from the first one on."""
        return self.data.train_dataloader() if self.batch_size is None else self.data.train_batches(self.batch_size)

    def epoch(self) -> int:
        """The batches of an epoch."""
        batches = self.batches()
        try:
            return len(batches)
        finally:
            batches.close()

    def take(
        self,
        steps: int,
        folder: Path,
        watching: Sequence[Callback] = (),
        instruments: bool = False,
        warm_up: int = WARM_UP,
    ) -> Round:
        """Time some steps after a few others.

        Args:
            steps: how many.
            folder: where the loggers write to; nothing of it is kept.
            watching: what may end them.
            instruments: whether the parts of a step are timed as well.
            warm_up: the others.
        """
        cfg = self.cfg
        devices = cfg.trainer.get("devices", 1)
        with isolate_rng():
            loggers = local_loggers(cfg, folder)
            window = _Window(self, warm_up, steps, int(cfg.trainer.get("accumulate_grad_batches", 1)))
            start = _Start(window)
            callbacks = [*per_step_callbacks(cfg, folder, bool(loggers)), *watching, start]
            trainer: Trainer = build(
                cfg, "trainer", callbacks=callbacks, logger=loggers, default_root_dir=str(folder), max_epochs=1,
                devices=devices if OmegaConf.is_list(devices) else 1, limit_train_batches=1.0, limit_val_batches=0,
                max_steps=None, max_time=None, val_check_interval=None, profiler=None,
            )  # fmt: skip
            device = trainer.strategy.root_device
            window.clock = Clock(device)
            if instruments:
                start.instruments = Instruments(window.clock, self.data)
            self.data.to(device)
            module = copy.deepcopy(self.module)
            try:
                with features_once(cfg, module, trainer, self.data):
                    trainer.fit(module, datamodule=window)
            finally:
                window.end()
                if start.instruments is not None:
                    start.instruments.take_off()
                self.data.to(torch.device("cpu"))
        marks, spans = window.clock.read()
        kinds = {} if start.instruments is None else start.instruments.kinds
        return Round(marks, window.samples, spans, kinds, start.found)


class _Start(Callback):
    """The last callback that hears of the start: attaches instruments, and notes what the steps find."""

    def __init__(self, window: _Window) -> None:
        self.window = window
        self.instruments: Instruments | None = None
        self.found = Found()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first step."""
        device = trainer.strategy.root_device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
        fusible = any(
            group.get("fused", False) is not False for each in trainer.optimizers for group in each.param_groups
        )
        self.found = Found(name, torch.get_num_threads(), fusible)
        self.window.module = pl_module
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Gradients):  # which looks as often as in an epoch of the training
                callback.stride = steps_between_looks(self.window.setting.epoch(), trainer.accumulate_grad_batches)
        if self.instruments is not None:
            self.instruments.attach(trainer, pl_module)


class _Window(LightningDataModule):
    """One long epoch: steps that warm up, steps that are timed, and one batch more.

    A step begins when its first batch is asked for. The batches are those of the training, epoch after epoch.

    Args:
        setting: whose batches.
        warm_up: steps before the clock starts.
        steps: steps that are timed.
        accumulated: batches of a step.
    """

    def __init__(self, setting: Setting, warm_up: int, steps: int, accumulated: int) -> None:
        super().__init__()
        self.setting, self.accumulated = setting, accumulated
        self.first, self.last = warm_up * accumulated, (warm_up + steps) * accumulated
        self.clock = Clock()
        self.module: Any = None
        self.samples = 0
        self._running: Generator[Batch] | None = None
        for name in TRANSFER:  # by which a user's own data has a say in how a batch reaches the device
            hook = getattr(setting.data, name)
            if getattr(hook, "__func__", None) is not getattr(LightningDataModule, name):
                setattr(self, name, hook)

    def __getattr__(self, name: str) -> Any:
        """What a callback asks the data for."""
        return getattr(self.__dict__["setting"].data, name)

    def train_dataloader(self) -> _Window:
        """The batches; the loop asks for an iterable of a known length."""
        return self

    def teardown(self, stage: str) -> None:
        """The data goes on."""

    def __len__(self) -> int:
        return self.last + 1  # the last step of an epoch is a longer one

    def __iter__(self) -> Iterator[Batch]:
        self._running = self._hand_out()
        return self._running

    def end(self) -> None:
        """End the worker processes, also those of steps that were broken off."""
        if self._running is not None:
            self._running.close()
        self.setting.data.end_workers()

    def _hand_out(self) -> Generator[Batch]:
        batches, clock = self.setting.batches(), self.clock
        try:
            source = _endless(batches)
            for number in range(len(self)):
                self._look(number)
                clock.begin(LOADING, "")
                batch = next(source)
                clock.end(LOADING, "")
                if self.first <= number < self.last:
                    self.samples += length(batch)
                yield batch
        finally:
            batches.close()

    def _look(self, number: int) -> None:
        """Between two batches. Metrics keep batches, to take them in many at a time: those of the window, within it."""
        if number in (self.first, self.last):
            with self.clock.span(METRICS):
                self.module.gathered["train"].flush()
        if number == self.first:
            self.clock.start()
        if number == self.last:
            self.clock.stop()
        elif number >= self.first and (number - self.first) % self.accumulated == 0:
            self.clock.mark()


def _endless(batches: Any) -> Iterator[Batch]:
    while True:
        yield from batches


def per_step_callbacks(cfg: DictConfig, folder: Path, logs: bool) -> list[Callback]:
    """The sentence's callbacks that hear of single steps, in their order; what they do at ends is left out.

    Args:
        cfg: the sentence.
        folder: of the record.
        logs: whether there is a logger.
    """
    names = [name for name in cfg.callbacks if name not in PLAIN["callbacks"]]
    names = [name for name in names if logs or not str(cfg.callbacks[name].get("_target_")).endswith("RateMonitor")]
    rule = build(cfg, "momentum_schedule")
    built = [
        divergence(cfg, RunFolder(folder)),
        build(cfg, "averaging"),
        None if rule is None else MomentumSchedule(rule),
        *(build(cfg.callbacks, name) for name in names),
    ]
    kept = [each for each in built if each is not None and not isinstance(each, Checkpoint)]
    kept = [each for each in kept if each is kept[0] or any(_hears(each, name) for name in LISTENED)]
    for callback in kept:
        for name in ENDS:
            if hasattr(callback, name):
                callback.__dict__[name] = _nothing
        if isinstance(callback, Progress):
            callback.__dict__["on_train_start"] = _nothing  # it opens no bar
    return kept


def local_loggers(cfg: DictConfig, folder: Path) -> list[Logger]:
    """The sentence's loggers that write files; those that talk to a server are left out."""
    return [
        build(cfg.logger, name, save_dir=str(folder)) for name in cfg.logger or () if writes_files(cfg.logger[name])
    ]


def writes_files(node: Any) -> bool:
    """Whether a logger does no more than write files."""
    return node is not None and str(node.get("_target_")) in LOCAL


def _hears(callback: Callback, name: str) -> bool:
    return getattr(type(callback), name) is not getattr(Callback, name)


def _nothing(*_arguments: Any, **_keys: Any) -> None:
    return
